"""Images of every format stand upright, however they are read."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from conmim_mm.datasets import ImageReading
from conmim_mm.datasets.image_formats import pictures
from conmim_mm.datasets.image_formats.image_size import upright_size
from conmim_mm.datasets.reading import read_levels

QUARTER = 6  # to the right
EXIF = Image.Exif()
EXIF[0x0112] = QUARTER
Y, X = np.mgrid[:32, :48]
COLOURS = np.stack([X * 5, Y * 8, X + Y], axis=-1).astype('uint8')
GREY, RGBA = COLOURS[..., 0], np.dstack([COLOURS, COLOURS[..., :1]])
SAMPLES = {'grey': GREY, 'colours': COLOURS, 'opacity': RGBA}


def deep(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype('uint16') * 257


def by_pillow(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, exif=EXIF.tobytes(), **options)
    return file.getvalue()


def deep_png(pixels: np.ndarray, place: int = 33) -> bytes:
    """With metadata before the pixels, or at another place."""
    order = slice(None) if pixels.ndim == 2 else [2, 1, 0, 3][:pixels.shape[-1]]
    content = cv2.imencode('.png', deep(pixels)[..., order])[1].tobytes()
    chunk = b'eXIf' + EXIF.tobytes()[6:]
    return content[:place] + struct.pack('>I', len(chunk) - 4) + chunk + struct.pack(
        '>I', zlib.crc32(chunk)) + content[place:]


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric='minisblack' if pixels.ndim == 2 else 'rgb',
                     extratags=[(274, 3, 1, QUARTER, False)], **options)
    return file.getvalue()


def heic(pixels: np.ndarray) -> bytes:
    pillow_heif = pytest.importorskip('pillow_heif')
    image = pillow_heif.from_bytes('L;16' if pixels.ndim == 2 else 'RGB;16', pixels.shape[1::-1],
                                   deep(pixels).tobytes())
    image.info['exif'] = EXIF.tobytes()
    file = io.BytesIO()
    image.save(file, quality=100, chroma=444)
    return file.getvalue()


def jpeg_xl(pixels: np.ndarray) -> bytes:
    pytest.importorskip('pillow_jxl')
    return by_pillow(pixels, 'JXL', lossless=True)


def turned_jpeg_xl(pixels: np.ndarray) -> bytes:
    """Which says how it lies itself, beside EXIF, and no JPEG file can be made of it again."""
    content, kept, place = imagecodecs.jpegxl_encode_jpeg(WRITERS['JPEG'](pixels)), b'', 0
    while place < len(content):
        size, kind = struct.unpack_from('>I4s', content, place)
        end = place + size if size else len(content)
        kept += content[place:end] * (kind not in (b'jbrd', b'brob'))
        place = end
    exif = bytes(4) + EXIF.tobytes()[6:]
    return kept + struct.pack('>I4s', 8 + len(exif), b'Exif') + exif


WRITERS = {
    'JPEG': lambda pixels: by_pillow(pixels, 'JPEG', quality=100, subsampling=0),
    'PNG': lambda pixels: by_pillow(pixels, 'PNG'), 'PNG of 16 bits': deep_png,
    'PNG of 16 bits, late': lambda pixels: deep_png(pixels, -12),
    'WebP': lambda pixels: by_pillow(pixels, 'WEBP', lossless=True, exact=True),
    'TIFF': lambda pixels: by_pillow(pixels, 'TIFF'), 'TIFF by tifffile': tiff,
    'TIFF of 16 bits': lambda pixels: tiff(deep(pixels)),
    'AVIF': lambda pixels: by_pillow(pixels, 'AVIF', quality=100, subsampling='4:4:4'),
    'HEIC of 10 bits': heic, 'JPEG XL': jpeg_xl,
    'JPEG in JPEG XL': lambda pixels: imagecodecs.jpegxl_encode_jpeg(WRITERS['JPEG'](pixels)),
    'JPEG XL that is turned': turned_jpeg_xl,
    'MPO': lambda pixels: by_pillow(pixels, 'MPO', quality=100, subsampling=0)}
CASES = [(name, kind) for name in WRITERS for kind in SAMPLES
         if kind != 'opacity' or name in ('WebP', 'AVIF', 'JPEG XL')
         or name.startswith('PNG')]


def check(path: Path, pixels: np.ndarray) -> None:
    expected = np.rot90(pixels, -1)
    expected = np.atleast_3d(expected)[..., :3].astype(int)
    for how in (ImageReading(), ImageReading(3, 'dtype'), ImageReading(3, view_dtype='float32')):
        levels = read_levels(str(path), how)
        assert levels.shape == (48, 32, 3) and np.abs(levels - expected).max() <= 5, how


@pytest.mark.parametrize('name, kind', CASES)
def test_a_quarter_to_the_right(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / 'a').write_bytes(WRITERS[name](SAMPLES[kind]))
    check(tmp_path / 'a', SAMPLES[kind])
    if 'late' not in name:  # of which headers don't tell
        assert upright_size(str(tmp_path / 'a')) == (32, 48)


def test_jpeg_xl_of_16_bits(tmp_path: Path) -> None:
    (tmp_path / 'a').write_bytes(jpeg_xl(deep(GREY)))
    check(tmp_path / 'a', GREY)


@pytest.mark.parametrize('name', ['AVIF', 'JPEG XL', 'JPEG XL that is turned'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_colours_of_more_bits(tmp_path: Path, name: str, orientation: int,
                              monkeypatch: pytest.MonkeyPatch) -> None:
    if 'XL' in name:
        pytest.importorskip('pillow_jxl')
    monkeypatch.setitem(EXIF, 0x0112, orientation)
    (tmp_path / 'a').write_bytes(WRITERS[name](COLOURS))
    expected = read_levels(str(tmp_path / 'a'))
    # as if the file were deep: nobody here writes deep ones that lie on a side
    monkeypatch.setattr(pictures, '_stored_range', lambda image, data: (0, 255.1))
    levels = read_levels(str(tmp_path / 'a'), ImageReading(view_dtype='float32'))
    assert levels.shape == expected.shape and np.abs(levels - expected).max() <= 3
