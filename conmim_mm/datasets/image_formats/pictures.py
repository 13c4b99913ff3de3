"""What Pillow reads, by its bands; and what it would stretch, or drop half of, as it is stored."""

import re
from functools import partial
from importlib import import_module
from io import BytesIO

import imagecodecs
import numpy as np
from PIL import Image

from ..transforms.image_metadata import upright
from ..transforms.loading import orientation_of
from . import jpeg_xl
from .stored import Range, Stored, range_of_bits

_WITH_ALPHA = ('LA', 'La', 'PA', 'RGBA', 'RGBa')
_DEPTH_AT, _COLOURS_AT = 24, 25  # in a PNG file
_PNG_COLOURS = (2, 4, 6)  # of more than one channel
_PNG_METADATA = b'eXIf', b'iTXt', b'tEXt', b'zTXt'
# width, height and highest value, with comments between them
_PNM = re.compile(rb'P([2356])' + 3 * rb'(?:\s|#[^\r\n]*[\r\n])+(\d+)')
_J2K_SIZE, _J2K_DEPTH_AT = b'\xff\x4f\xff\x51', 42  # the markers of start and size
WHITE = 255


def picture_bands(image: Image.Image, data: bytes, channels: int) -> Stored:
    """The bands of an image, upright.

    Args:
        image: As Pillow has opened it.
        data: The file's content.
        channels: How many are asked for. Fewer than three of an image whose red, green and blue
            are the same all over are its grey.
    """
    stored = _own_values(image, data) or _pillows_levels(image, channels)
    pixels, has_alpha = stored.pixels, stored.has_alpha
    if channels < 3 and pixels.shape[-1] - has_alpha == 3 and (
            pixels[..., :1] == pixels[..., 1:3]).all():
        pixels = pixels[..., [0, 3] if has_alpha else [0]]
    return stored._replace(pixels=upright(pixels, orientation_of(image)))


def _pillows_levels(image: Image.Image, channels: int) -> Stored:
    image.load()
    if image.mode in ('P', 'PA'):
        image = image.convert('RGBA' if 'transparency' in image.info or image.mode == 'PA'
                              else 'RGB')
    elif image.mode == 'CMYK' and channels < 4:
        image = image.convert('RGB')
    elif image.mode not in ('CMYK', 'F', 'L', 'LA', 'RGB', 'RGBA') and image.mode[0] != 'I':
        image = image.convert('L' if image.mode == '1' else 'RGB')
    return Stored(np.atleast_3d(np.asarray(image)), has_alpha=image.mode in _WITH_ALPHA)


def _own_values(image: Image.Image, data: bytes) -> Stored | None:
    """The pixels of a file whose values are not of 8 bits, which Pillow would stretch or cut.

    Returns:
        None where Pillow has the values as they are.
    """
    whole = _stored_range(image, data)
    if whole == (0, WHITE):
        return None
    if image.format == 'PNG':
        behind = data[data.rfind(b'IDAT'):]
        if any(name in behind for name in _PNG_METADATA):
            image.load()  # only then Pillow knows what is behind the pixels
    pixels = np.atleast_3d(_DECODERS[image.format](data))
    return Stored(pixels, whole=whole, has_alpha=pixels.shape[-1] in (2, 4))


def _stored_range(image: Image.Image, data: bytes) -> Range | None:
    """The lowest and highest value of a file; None of floats, or where its header doesn't tell."""
    depth, signed = 8, False
    match image.format:
        case 'PPM' if header := _PNM.match(data):
            return 0, int(header[4])
        case 'PNG' if data[_COLOURS_AT] in _PNG_COLOURS:  # of others Pillow has all
            depth = data[_DEPTH_AT]
        case 'JPEG2000' if image.mode not in ('P', 'PA'):
            kind = data[data.find(_J2K_SIZE) + _J2K_DEPTH_AT]
            depth, signed = (kind & 0x7F) + 1, kind > 0x7F
        case 'AVIF':  # the box that tells of the coding has two bits of it
            flags = data[data.find(b'av1C') + 6]
            depth = 8 + 2 * bool(flags & 0x40) + 2 * bool(flags & 0x20)
        case 'JXL':
            depth = jpeg_xl.read_header(data).depth
        case 'HEIF':
            depth = image.info['bit_depth']
    return range_of_bits(depth, signed) if depth else None


def _decode_pnm(data: bytes) -> np.ndarray:
    header = _PNM.match(data)
    kind, (width, height, highest) = int(header[1]), map(int, header.groups()[1:])
    bands, dtype = 3 if kind in (3, 6) else 1, np.dtype('u2' if highest > WHITE else 'u1')
    count = height * width * bands
    if kind < 5:
        text = re.sub(rb'#[^\r\n]*', b'', data[header.end():])
        pixels = np.fromstring(text, dtype, sep=' ')[:count]
    else:
        pixels = np.frombuffer(data, dtype.newbyteorder('>'), count, header.end() + 1)
    return pixels.reshape(height, width, bands)


def _decode_heif(data: bytes) -> np.ndarray:
    return np.asarray(import_module('pillow_heif').open_heif(
        BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=False))


_DECODERS = {
    'PPM': _decode_pnm, 'PNG': imagecodecs.png_decode, 'JPEG2000': imagecodecs.jpeg2k_decode,
    'AVIF': partial(imagecodecs.avif_decode, index=0, numthreads=1),
    'JXL': partial(imagecodecs.jpegxl_decode, index=0, numthreads=1), 'HEIF': _decode_heif}
