"""Pictures as text inside of a page."""

from base64 import b64encode
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image

MAX_SIDE = 1400  # pixels; larger pictures are reduced
PNG_BYTES = 40_000  # a larger PNG gives way to JPEG


class Embedded(NamedTuple):
    """A picture ready for a page.

    Attributes:
        uri: ``data:`` address with the picture in it.
        width: Pixels.
        height: Pixels.
    """

    uri: str
    width: int
    height: int


def embed(path: Path) -> Embedded | None:
    """A picture file for a page; None where it cannot be read."""
    try:
        return _embed(path, path.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=64)  # a run's pages show the same samples every time
def _embed(path: Path, _changed: int) -> Embedded | None:
    try:
        content = path.read_bytes()
        with Image.open(BytesIO(content)) as image:
            image.load()
            if image.format == 'PNG' and len(content) <= PNG_BYTES and max(image.size) <= MAX_SIDE:
                return Embedded(_uri('png', content), *image.size)
            reduced = image.convert('RGB')
    except (OSError, ValueError, SyntaxError):  # SyntaxError: Pillow's for damaged files
        return None
    reduced.thumbnail((MAX_SIDE, MAX_SIDE))
    buffer = BytesIO()
    reduced.save(buffer, 'JPEG', quality=88)
    return Embedded(_uri('jpeg', buffer.getvalue()), *reduced.size)


def _uri(kind: str, content: bytes) -> str:
    return f'data:image/{kind};base64,{b64encode(content).decode()}'
