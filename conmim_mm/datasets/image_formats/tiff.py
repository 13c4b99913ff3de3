"""TIFF files of any number of bands and any depth, by tifffile."""

import logging
from io import BytesIO

import numpy as np
import tifffile

from ..transforms.image_metadata import ORIENTATION, upright
from ..transforms.loading import WHITE_IS_ZERO
from .stored import Range, Stored, check_array, check_bands, range_of_bits

MARKS = b'II*\0', b'MM\0*', b'II+\0', b'MM\0+'
BLACK_IS_ZERO, RGB = 1, 2
ALPHA = (1, 2)  # of TIFF's ExtraSamples
MAX_PAGES = 1000
GDAL_NODATA = 42113
OVERVIEW_OR_MASK = 1 | 4  # bits of a page's type
# It tells of damaged files, beside the error.
logging.getLogger('tifffile').setLevel(logging.CRITICAL)


def is_plain_tiff(data: bytes, bands_from: str) -> bool:
    """Whether a TIFF file's values are levels as they are: no palette, CMYK or YCbCr.

    Args:
        data: The file's content.
        bands_from: As of :func:`read_tiff`. One page of black and white is left to Pillow, which
            decodes all kinds of it.
    """
    with tifffile.TiffFile(BytesIO(data)) as file:
        page = file.pages.first
        return page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB) and (
            page.bitspersample > 1 or (bands_from == 'pages' and len(file.pages) > 1))


def read_tiff(data: bytes, channels: int, bands_from: str, max_pixels: int) -> Stored:
    """The bands of the first page, interleaved or planar, or those of all pages.

    Args:
        data: The file's content.
        channels: How many bands are asked for; nothing is decoded of a file with others.
        bands_from: ``'channels'``, or ``'pages'`` to put those of all pages behind one another,
            less overviews and masks.
        max_pixels: Height times width above which nothing is decoded.

    Raises:
        ValueError: Damaged, too large, or pages of several sizes.
    """
    with tifffile.TiffFile(BytesIO(data)) as file:
        first = file.pages.first
        pages, count = [first], len(file.pages)
        if bands_from == 'pages':
            if count > MAX_PAGES:
                raise ValueError(f'it has {count} pages, more than {MAX_PAGES}')
            pages = [page for page in map(tifffile.TiffPage.aspage, file.pages)
                     if not page.subfiletype & OVERVIEW_OR_MASK]
        if first.imagedepth != 1:
            raise ValueError('it is a volume')
        for page in pages:
            if (page.shape, page.dtype) != (first.shape, first.dtype):
                raise ValueError(f'its pages are of several sizes or types: {first.shape} of '
                                 f'{first.dtype} and {page.shape} of {page.dtype}')
        if first.dtype is None:
            raise ValueError(f'its values of {first.bitspersample} bits are none that are read')
        bands = first.samplesperpixel
        check_array((len(pages), *first.shape), first.dtype, max_pixels, len(pages) * bands)
        has_alpha = len(pages) == 1 and any(one in ALPHA for one in first.extrasamples[-1:])
        hint = f'{count} pages, which --bands-from pages takes as bands' if (
            count > len(pages)) else ''
        check_bands(len(pages) * bands, channels, has_alpha, hint)
        pixels = np.concatenate([_bands_last(page) for page in pages], axis=-1)
        return Stored(upright(pixels, first.tags.valueof(ORIENTATION, 1)), whole=_range(first),
                      has_alpha=has_alpha, is_negative=first.photometric == WHITE_IS_ZERO,
                      missing=_missing(first), hint=hint)


def _missing(page: tifffile.TiffPage) -> float | None:
    try:
        return float(page.tags.valueof(GDAL_NODATA))
    except (TypeError, ValueError):
        return None


def _range(page: tifffile.TiffPage) -> Range | None:
    is_float = page.dtype.kind == 'f'
    return None if is_float else range_of_bits(page.bitspersample, page.dtype.kind == 'i')


def _bands_last(page: tifffile.TiffPage) -> np.ndarray:
    pixels = page.asarray(maxworkers=1)
    if page.axes == 'YX':
        return pixels[..., np.newaxis]
    return np.moveaxis(pixels, 0, -1) if page.axes == 'SYX' else pixels
