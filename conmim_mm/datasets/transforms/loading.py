"""Reading of image files; whatever a bad one causes becomes one kind of error."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ...errors import InputError, UnreadableImageError

MAX_PIXELS = 178_956_970  # where Pillow stops

_limit_lock = threading.Lock()


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Around code that does nothing but read an image file.

    Decoders raise nearly anything on damaged files: struct.error, KeyError, ZeroDivisionError,
    MemoryError, cv2.error. So all of it counts here, and nothing else may be done inside.

    Args:
        path: The file.

    Raises:
        UnreadableImageError: In place of any exception.
    """
    try:
        yield
    except UnreadableImageError:
        raise
    except FileNotFoundError as error:
        raise UnreadableImageError(f'no such image: {path}', 'no such file') from error
    except Exception as error:
        reason = describe_read_error(error)
        raise UnreadableImageError(f'cannot read the image {path}: {reason}', reason) from error


def describe_read_error(error: Exception) -> str:
    """What is wrong with a file, in one line and without its name where that is possible."""
    if isinstance(error, UnidentifiedImageError):
        return 'not an image'
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return ' '.join(str(error).split()) or type(error).__name__


def read_rgb(path: str, max_pixels: int = MAX_PIXELS, data: bytes | None = None) -> Image.Image:
    """Reads any image file Pillow knows as 8-bit RGB, upright.

    EXIF rotation is applied; palette, grey, CMYK and 16-bit grey are converted; transparency is
    dropped, keeping the colours below it, as in the original implementation.

    Args:
        path: The file.
        max_pixels: Width times height above which a file is not decoded. A small file can declare
            a size that fills the memory. Counts in the place of Pillow's own limit.
        data: The file's content, if it is known already.

    Raises:
        UnreadableImageError: The file is missing, is not a readable image, or is too large.
    """
    file = path if data is None else BytesIO(data)
    with reading(path), _pillows_limit(max_pixels), Image.open(file) as image:
        if image.width * image.height > max_pixels:  # from the header; no pixel is decoded yet
            raise _too_large(max_pixels)
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith('I'):
            # Pillow would clip 16-bit grey levels at 255, which is nearly all of them.
            levels = np.asarray(image).clip(0, 2**16 - 1) // 2**8
            image = Image.fromarray(levels.astype(np.uint8))
        return image.convert('RGB')


def read_orientation(data: bytes, max_pixels: int) -> int:
    """How an image is to be turned, 1 to 8 as in EXIF; 1, as it is, where nothing says so.

    Args:
        data: The file's content.
        max_pixels: As for :func:`read_rgb`.
    """
    with _pillows_limit(max_pixels), Image.open(BytesIO(data)) as image:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


@contextmanager
def _pillows_limit(max_pixels: int) -> Iterator[None]:
    """Makes Pillow fail where it must look before we can, and not warn below the limit."""
    # It is a variable of Pillow's module, so two threads must not change it at the same time.
    with _limit_lock:
        usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            yield
        except Image.DecompressionBombError:
            raise _too_large(max_pixels) from None
        finally:
            Image.MAX_IMAGE_PIXELS = usual


def _too_large(max_pixels: int) -> ValueError:
    return ValueError(f'it has more pixels than max_pixels={max_pixels} allows')


@TRANSFORMS.register_module()
class LoadRGBImage(BaseTransform):
    """Reads an image as upright RGB, whatever its format and mode (see :func:`read_rgb`).

    Required keys:

    - img_path
    - img_bytes (optional): the file's content, where the data set has read it.

    Added keys:

    - img: ``(H, W, 3)`` uint8, RGB.
    - img_shape, ori_shape: ``(H, W)``.

    Args:
        max_pixels: Images of more pixels than this are not decoded but count as unreadable.

    Raises:
        InputError: ``max_pixels`` below 1.
        UnreadableImageError: From :meth:`transform`, as :func:`read_rgb`.
    """

    def __init__(self, max_pixels: int = MAX_PIXELS) -> None:
        if max_pixels < 1:
            raise InputError(f'max_pixels must be positive, but is {max_pixels}')
        self.max_pixels = max_pixels

    def transform(self, results: dict) -> dict:
        """Adds ``img``."""
        path = results['img_path']
        with reading(path):  # a copy of the pixels may not find the memory either
            img = np.asarray(read_rgb(path, self.max_pixels, results.get('img_bytes')))
        results['img'] = img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results
