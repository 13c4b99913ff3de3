"""Reading of image files; whatever a bad one causes becomes one kind of error."""

import logging
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from ...errors import UnreadableImageError, one_line
from ..image_formats import jpeg_xl
from ..image_formats.known import IMAGE_FORMATS, is_installed
from .image_metadata import ORIENTATION, orientation_in, without_metadata

# For every Image.open: some of Pillow's others start programs (EPS).
FORMATS = tuple(one.pillow for one in IMAGE_FORMATS if one.pillow and is_installed(one))
# A pixel takes 10 to 20 bytes while it is read, by its format: a GiB or so in each worker.
MAX_PIXELS = 2**26
MAX_BYTES = 2**30
NOT_AN_IMAGE = 'not an image'
BITS, PHOTOMETRIC, PLANAR = 258, 262, 284  # tags of TIFF
WHITE_IS_ZERO = 0
MAX_SCANS = 50  # each takes two seconds where there are as many pixels as that

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90}
_MARKER = re.compile(rb'\xff[^\x00\x01\xd0-\xd7\xff]')  # less those without a length
# It tells of TIFF files that it cannot read, beside the error; they are another library's.
logging.getLogger('PIL.TiffImagePlugin').setLevel(logging.CRITICAL)
_limit_lock = threading.Lock()

T = TypeVar('T')


class _Refused(ValueError):
    """For its size, not for damage: nothing to try again."""


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
        raise UnreadableImageError(f'cannot read the image {path}: {reason}', reason,
                                   getattr(error, 'bands', None)) from error


def describe_read_error(error: Exception) -> str:
    """What is wrong with a file, in one line and without its name where that is possible."""
    if isinstance(error, UnidentifiedImageError):
        return NOT_AN_IMAGE
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(error) or type(error).__name__


def read_file(path: str) -> bytes:
    """The content of a file that may be an image.

    Raises:
        OSError: It cannot be read.
        ValueError: It is a pipe or a device, whose end may never come, or above ``MAX_BYTES``.
    """
    with open(path, 'rb', opener=_open_without_waiting) as file:
        facts = os.fstat(file.fileno())
        check_file(facts)
        return file.read()


def check_file(facts: os.stat_result) -> None:
    """Refuses what cannot be an image file, as :func:`read_file` does."""
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError('not a regular file')
    check_size(facts.st_size)


def check_size(num_bytes: int) -> None:
    """Refuses files of more than ``MAX_BYTES`` by a ValueError."""
    if num_bytes > MAX_BYTES:
        raise ValueError(f'it has {num_bytes} bytes, more than any image that is read')


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe would wait for somebody to write


def read_rgb(path: str, max_pixels: int = MAX_PIXELS, data: bytes | None = None) -> Image.Image:
    """Reads an image file of one of ``FORMATS`` as 8-bit RGB, upright.

    EXIF rotation is applied; palette, grey, CMYK and 16-bit grey are converted; of floats NaN and
    infinity become black; transparency is dropped, keeping the colours below it, as in the original
    implementation. Of several pictures in a file it is the first. Metadata that is damaged, or more
    than Pillow takes, is passed over.

    Args:
        path: The file.
        max_pixels: Width times height above which a file is not decoded. A small file can declare
            a size that fills the memory. Counts in the place of Pillow's own limit.
        data: The file's content, if it is known already.

    Raises:
        UnreadableImageError: The file is missing, is not a readable image, or is too large.
    """
    return read_picture(path, max_pixels, data, _to_rgb)


def read_picture(path: str, max_pixels: int, data: bytes | None,
                 convert: Callable[[Image.Image, bytes], T]) -> T:
    """As :func:`read_rgb`, with another end.

    Args:
        path: The file.
        max_pixels: As there.
        data: As there.
        convert: Makes the result of an image that is opened, but not decoded, and of the content
            that it is from.
    """
    with reading(path):
        data = read_file(path) if data is None else data
        try:
            return _open(data, max_pixels, convert)
        except (_Refused, MemoryError):
            raise
        except Exception:
            plain = without_metadata(data)
            if plain is None or plain == data:
                raise
            with suppress(Exception):  # then the first error is the one to tell of
                return _open(plain, max_pixels, convert)
            raise


def _open(data: bytes, max_pixels: int, convert: Callable[[Image.Image, bytes], T]) -> T:
    if data.startswith(jpeg_xl.MARKS):
        check_pixels(jpeg_xl.read_header(data).pixels, max_pixels)
    with _pillows_limit(max_pixels), Image.open(BytesIO(data), formats=FORMATS) as image:
        # from the header; no pixel is decoded yet
        check_pixels(image.width * image.height, max_pixels)
        if image.format == 'TIFF' and image.tag_v2.get(PLANAR) == 2 and max(
                image.tag_v2.get(BITS, (8, ))) > 8:  # Pillow takes these planes for 8 bits
            raise UnidentifiedImageError('planes of 16 bits')
        if image.format in ('JPEG', 'MPO') and has_too_many_scans(data):
            raise _Refused(f'a JPEG file of more than {MAX_SCANS} scans')
        return convert(image, data)


def _to_rgb(image: Image.Image, _: bytes) -> Image.Image:
    image.load()
    rgb = _to_levels(image) if image.mode[0] in 'FI' else image
    rgb = rgb if rgb.mode == 'RGB' else rgb.convert('RGB')
    method = _UPRIGHT.get(orientation_of(image))
    return rgb if method is None else rgb.transpose(method)


def _to_levels(image: Image.Image) -> Image.Image:
    """The upper 8 of 16 bits, and of floats what is 0 to 255, where Pillow has no levels itself."""
    values = np.asarray(image)
    # of 8 bits and less Pillow turns that over
    is_negative = image.format == 'TIFF' and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
    if image.mode == 'F':
        values = np.where(np.isfinite(values), values, 255 * is_negative).clip(0, 255)
    else:  # Pillow would clip 16-bit grey levels at 255, which is nearly all of them
        values = values.clip(0, 2**16 - 1) // 2**8
    levels = values.astype(np.uint8)
    return Image.fromarray(255 - levels if is_negative else levels)


def check_pixels(count: int, max_pixels: int) -> None:
    """Refuses, by a ValueError, an image whose header tells of more pixels than that."""
    if count > max_pixels:
        raise _Refused(_too_large(max_pixels))


def orientation_of(image: Image.Image) -> int:
    """As :func:`orientation_in`, of a file that Pillow has opened."""
    if image.format == 'TIFF':  # which Pillow has turned already, except in old versions
        return image.tag_v2.get(ORIENTATION, 1)
    if image.format == 'JXL' and not image.jpeg and jpeg_xl.read_header(image.fc).orientation > 1:
        return 1  # its decoder has turned it, whatever EXIF says
    exif, xmp = image.info.get('exif') or b'', image.info.get('xmp') or b''
    if not exif and (text := image.info.get('Raw profile type exif')):  # ImageMagick's, in a PNG
        with suppress(ValueError):
            exif = bytes.fromhex(''.join(text.split('\n')[3:]))
    xmp = image.info.get('XML:com.adobe.xmp', xmp)
    return orientation_in(exif, xmp.encode() if isinstance(xmp, str) else xmp)


def has_too_many_scans(data: bytes) -> bool:
    """Whether a JPEG file would take its decoder through all pixels more than ``MAX_SCANS`` times.

    A progressive file usually does so ten times.
    """
    pairs = (np.frombuffer(data, '>u2', (len(data) - first) // 2, first) for first in (0, 1))
    # more than there are, as what lies behind the image or in metadata counts, but quickly found
    if sum(np.count_nonzero(pair == 0xFFDA) for pair in pairs) <= MAX_SCANS:
        return False
    scans, place = 0, 2
    while (marker := _MARKER.search(data, place)) and marker[0] != b'\xff\xd9':
        scans += marker[0] == b'\xff\xda'
        place = marker.end() + int.from_bytes(data[marker.end():marker.end() + 2], 'big')
    return scans > MAX_SCANS


@contextmanager
def _pillows_limit(max_pixels: int) -> Iterator[None]:
    """Makes Pillow fail where it must look before we can, and not warn below the limit."""
    # It is a variable of Pillow's module, so two threads must not change it at the same time.
    with _limit_lock:
        usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            yield
        except Image.DecompressionBombError:
            raise _Refused(_too_large(max_pixels)) from None
        finally:
            Image.MAX_IMAGE_PIXELS = usual


def _too_large(max_pixels: int) -> str:
    return f'it has more pixels than max_pixels={max_pixels} allows'
