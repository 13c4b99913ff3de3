"""What Pillow reads, by its bands; and the two formats of which it would drop half of 16 bits."""

import struct

import imagecodecs
import numpy as np
from PIL import Image

from .stored import Stored

PNG, JPEG_2000 = b'\x89PNG\r\n\x1a\n', (b'\0\0\0\x0cjP  ', b'\xff\x4f\xff\x51')
_DEPTH_AT, _COLOURS_AT = 24, 25  # in a PNG file
_PNG_COLOURS = (2, 4, 6)  # of more than one channel
_WITH_ALPHA = ('LA', 'La', 'PA', 'RGBA', 'RGBa')


def picture_bands(image: Image.Image, channels: int) -> Stored:
    """The bands of an upright image.

    Args:
        image: As Pillow has it.
        channels: How many are asked for. Fewer than three of an image whose red, green and blue
            are the same all over are its grey.
    """
    if image.mode in ('P', 'PA'):
        image = image.convert('RGBA' if 'transparency' in image.info or image.mode == 'PA'
                              else 'RGB')
    elif image.mode == 'CMYK' and channels < 4:
        image = image.convert('RGB')
    elif image.mode not in ('CMYK', 'F', 'L', 'LA', 'RGB', 'RGBA') and image.mode[0] != 'I':
        image = image.convert('L' if image.mode == '1' else 'RGB')
    pixels = np.atleast_3d(np.asarray(image))
    has_alpha = image.mode in _WITH_ALPHA
    if channels < 3 and image.mode in ('RGB', 'RGBA') and (
            pixels[..., :1] == pixels[..., 1:3]).all():
        pixels = pixels[..., [0, 3] if has_alpha else [0]]
    return Stored(pixels, has_alpha=has_alpha)


def is_deep(data: bytes) -> bool:
    """Whether a file has colours of more than 8 bits, of which Pillow would keep 8."""
    if data.startswith(PNG):
        return data[_DEPTH_AT] == 16 and data[_COLOURS_AT] in _PNG_COLOURS
    return data.startswith(JPEG_2000) and _depth_of_jpeg_2000(data) > 8


def read_deep(data: bytes) -> Stored:
    """The bands of a file for which :func:`is_deep` holds, uint16, whatever its size."""
    decode = imagecodecs.png_decode if data.startswith(PNG) else imagecodecs.jpeg2k_decode
    pixels = np.atleast_3d(decode(data))
    return Stored(pixels, has_alpha=pixels.shape[-1] in (2, 4))


def _depth_of_jpeg_2000(data: bytes) -> int:
    place = data.find(JPEG_2000[1])  # the marker of its size, then 38 bytes up to the depth
    components, depth = struct.unpack_from('>HB', data, place + 40)
    return (depth & 0x7F) + 1 if components > 1 else 0
