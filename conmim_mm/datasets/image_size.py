"""The size of an image from its header."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import ExifTags, Image

from .transforms.loading import FORMATS, reading

_TURNED = range(5, 9)  # orientations of EXIF that swap width and height


@contextmanager
def opened(path: str) -> Iterator[Image.Image]:
    """An image file with its header read; nothing but that and decoding may be done inside.

    Raises:
        UnreadableImageError: The file is missing, is no image, or a pipe, which might never end.
    """
    with reading(path):
        if os.path.exists(path) and not os.path.isfile(path):
            raise ValueError('not a regular file')
        with Image.open(path, formats=FORMATS) as image:
            yield image


def upright_size(path: str) -> tuple[int, int]:
    """Width and height of an image as OpenMMLab's loaders and ours read it; no pixel is decoded.

    Raises:
        UnreadableImageError: As :func:`opened`.
    """
    with opened(path) as image:
        orientation = 1
        with suppress(Exception):  # metadata that cannot be read turn nothing
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return image.size[::-1] if orientation in _TURNED else image.size
