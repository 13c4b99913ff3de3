"""The size of an image from its header."""

from contextlib import suppress

from PIL import ExifTags, Image

from .transforms.loading import reading

_TURNED = range(5, 9)  # orientations of EXIF that swap width and height


def upright_size(path: str) -> tuple[int, int]:
    """Width and height of an image as OpenMMLab's loaders and ours read it; no pixel is decoded.

    Raises:
        UnreadableImageError: The file is missing or is no image.
    """
    with reading(path), Image.open(path) as image:
        orientation = 1
        with suppress(Exception):  # metadata that cannot be read turn nothing
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return image.size[::-1] if orientation in _TURNED else image.size
