"""The size of an image from its header."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from ...errors import UnreadableImageError
from ..transforms.loading import FORMATS, check_file, orientation_of, reading


@contextmanager
def opened(path: str) -> Iterator[Image.Image]:
    """An image file with its header read; nothing but that and decoding may be done inside.

    Raises:
        UnreadableImageError: The file is missing, is no image, or a pipe, which might never end.
    """
    with reading(path):
        check_file(os.stat(path))
        with Image.open(path, formats=FORMATS) as image:
            yield image


def upright_size(path: str) -> tuple[int, int]:
    """Width and height of an image as OpenMMLab's loaders and ours read it; no pixel is decoded.

    Raises:
        UnreadableImageError: As :func:`opened`.
    """
    with opened(path) as image:
        # Pillow turns the size of a TIFF file by itself
        turned = image.format != 'TIFF' and orientation_of(image) >= 5
        return image.size[::-1] if turned else image.size


def known_size(path: str) -> tuple[int, int] | None:
    """As :func:`upright_size`; None of a file that only another loader may be able to read.

    Raises:
        UnreadableImageError: There is no such file, or it is a pipe.
    """
    try:
        return upright_size(path)
    except UnreadableImageError:
        if not os.path.isfile(path):
            raise
        return None
