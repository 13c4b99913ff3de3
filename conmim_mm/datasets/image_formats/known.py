"""The list of image formats: their endings, what reads them, and how that is installed."""

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple


class ImageFormat(NamedTuple):
    """A format of image files.

    Attributes:
        name: Of the format.
        endings: Of its files, in lower case.
        pillow: Its name in Pillow; empty where another library reads it.
        module: What has to be imported to read it.
        package: What pip installs for that; empty where it is a requirement of this project.
    """

    name: str
    endings: tuple[str, ...]
    pillow: str = ''
    module: str = 'PIL'
    package: str = ''


IMAGE_FORMATS = (
    ImageFormat('JPEG', ('.jpg', '.jpeg', '.jfif', '.mpo'), 'JPEG'),
    ImageFormat('PNG', ('.png', ), 'PNG'),
    ImageFormat('WebP', ('.webp', ), 'WEBP'),
    ImageFormat('TIFF', ('.tif', '.tiff'), 'TIFF', 'tifffile'),
    ImageFormat('GIF', ('.gif', ), 'GIF'),
    ImageFormat('BMP', ('.bmp', ), 'BMP'),
    ImageFormat('AVIF', ('.avif', ), 'AVIF'),
    ImageFormat('JPEG 2000', ('.jp2', '.j2k'), 'JPEG2000'),
    ImageFormat('PPM', ('.ppm', '.pgm', '.pbm', '.pnm'), 'PPM'),
    ImageFormat('HEIF', ('.heic', '.heif'), 'HEIF', 'pillow_heif', 'pillow-heif'),
    ImageFormat('JPEG XL', ('.jxl', ), 'JXL', 'pillow_jxl', 'pillow-jxl-plugin'),
    # it has no mark of its own, so Pillow is to try it last
    ImageFormat('TGA', ('.tga', ), 'TGA'),
    ImageFormat('DICOM', ('.dcm', '.dicom'), '', 'pydicom', 'pydicom'),
)
# Arrays may be anything, so they are images only in folders that hold no others.
ARRAYS = ImageFormat('NumPy', ('.npy', '.npz'), '', 'numpy')


@cache
def is_installed(one: ImageFormat) -> bool:
    """Whether what reads a format is there; lets Pillow know of it."""
    if not one.package:
        return True
    found = find_spec(one.module) is not None
    if found and one.pillow == 'HEIF':
        import_module(one.module).register_heif_opener(thumbnails=False)
    elif found and one.pillow == 'JXL':  # registers itself
        import_module(one.module).JpegXLImagePlugin.DECODE_THREADS = 0
    return found


def endings_of(formats: Iterable[ImageFormat]) -> tuple[str, ...]:
    """The endings of all these formats."""
    return tuple(ending for one in formats for ending in one.endings)


def how_to_read(ending: str) -> str:
    """What to install for files of an ending; empty where that would not help."""
    return next((f'pip install {one.package}' for one in IMAGE_FORMATS
                 if ending in one.endings and not is_installed(one)), '')


PICTURE_ENDINGS = endings_of(filter(is_installed, IMAGE_FORMATS))
