"""Of each format the file's own values are read, and the range is that of its bits."""

import io
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from conmim_mm.datasets import ImageReading
from conmim_mm.datasets.reading import read_levels, read_stored
from conmim_mm.errors import UnreadableImageError

RNG = np.random.default_rng(0)
SIZE = 20, 31


def values(bits: int, bands: int, signed: bool = False) -> np.ndarray:
    """``(H, W)`` or ``(H, W, bands)`` of all that so many bits can tell, both ends among them."""
    lowest = -2**(bits - 1) if signed else 0
    pixels = RNG.integers(lowest, lowest + 2**bits, (*SIZE, bands))
    pixels[0, 0], pixels[-1, -1] = lowest, lowest + 2**bits - 1
    return np.squeeze(pixels.astype(f'{"i" if signed else "u"}{1 if bits <= 8 else 2}'))


def pnm(pixels: np.ndarray, maxval: int, plain: bool) -> bytes:
    """As Netpbm's programs write it, with a comment."""
    kind = (2 if pixels.ndim == 2 else 3) + (0 if plain else 3)
    header = f'P{kind}\n# CREATOR: a b 7\n{SIZE[1]} {SIZE[0]}\n{maxval}\n'.encode()
    if plain:
        return header + b'\n'.join(b' '.join(b'%d' % value for value in row.ravel())
                                   for row in pixels)
    return header + pixels.astype('>u2' if maxval > 255 else 'u1').tobytes()


def heic(pixels: np.ndarray, bits: int) -> bytes:
    """Without loss."""
    pillow_heif = pytest.importorskip('pillow_heif')
    before, pillow_heif.options.SAVE_HDR_TO_12_BIT = (
        pillow_heif.options.SAVE_HDR_TO_12_BIT, bits == 12)
    try:
        image = pillow_heif.from_bytes('L;16' if pixels.ndim == 2 else 'RGB;16', SIZE[::-1],
                                       (pixels << 16 - bits).tobytes())
        file = io.BytesIO()
        image.save(file, quality=-1, chroma=444, matrix_coefficients=0)
    finally:
        pillow_heif.options.SAVE_HDR_TO_12_BIT = before
    return file.getvalue()


def png(pixels: np.ndarray, bits: int) -> bytes:
    """As OpenCV writes it, which has blue first."""
    order = slice(None) if pixels.ndim == 2 else [2, 1, 0, 3][:pixels.shape[-1]]
    return cv2.imencode('.png', pixels[..., order])[1].tobytes()


def tiff(pixels: np.ndarray, bits: int) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric='minisblack' if pixels.ndim == 2 else 'rgb',
                     bitspersample=bits)
    return file.getvalue()


WRITERS = {
    'pgm': lambda pixels, bits: pnm(pixels, 2**bits - 1, plain=False),
    'ppm': lambda pixels, bits: pnm(pixels, 2**bits - 1, plain=True),
    'j2k': lambda pixels, bits: imagecodecs.jpeg2k_encode(
        pixels, level=0, reversible=True, bitspersample=bits, codecformat='j2k'),
    'jp2': lambda pixels, bits: imagecodecs.jpeg2k_encode(
        pixels, level=0, reversible=True, bitspersample=bits, codecformat='jp2'),
    'avif': lambda pixels, bits: imagecodecs.avif_encode(pixels, level=100, bitspersample=bits),
    'jxl': lambda pixels, bits: imagecodecs.jpegxl_encode(
        pixels, lossless=True, bitspersample=bits),
    'heic': heic, 'png': png, 'tif': tiff}
CASES = [
    *((name, bits, bands) for name in ('pgm', 'ppm') for bits in (4, 8, 10, 12, 16)
      for bands in (1, 3)),
    *((name, bits, bands) for name in ('j2k', 'jp2') for bits in (5, 8, 12, 16)
      for bands in (1, 3, 4)),
    *(('avif', bits, bands) for bits in (8, 10, 12) for bands in (1, 3, 4)),
    *(('jxl', bits, bands) for bits in (8, 10, 12, 14, 16) for bands in (1, 3, 4)),
    *(('heic', bits, bands) for bits in (10, 12) for bands in (1, 3)),
    *(('png', bits, bands) for bits in (8, 16) for bands in (1, 3, 4)),
    *(('tif', bits, bands) for bits in (4, 8, 12, 16) for bands in (1, 3))]


@pytest.mark.parametrize('name, bits, bands', CASES)
def test_own_values_and_their_range(tmp_path: Path, name: str, bits: int, bands: int) -> None:
    if name in ('jxl', 'heic'):
        pytest.importorskip(dict(jxl='pillow_jxl', heic='pillow_heif')[name])
    written = values(bits, bands)
    path = str(tmp_path / f'a.{name}')
    Path(path).write_bytes(WRITERS[name](written, bits))
    written = written.reshape(*SIZE, bands)
    assert np.array_equal(read_stored(path, ImageReading(bands)).pixels, written)
    read = written[..., :3].repeat(4 - min(bands, 3) if bands == 1 else 1, axis=-1)[..., :3]
    for how in (ImageReading(3, 'dtype'), ImageReading(3, view_dtype='float32')):
        levels = read_levels(path, how)
        assert np.abs(levels - read / (2**bits - 1) * 255.).max() <= 0.501, how
    low, high = np.percentile(written, (10, 60)).tolist()
    levels = read_levels(path, ImageReading(3, (low, high), view_dtype='float32'))
    np.testing.assert_allclose(levels, ((read - low) / (high - low) * 255).clip(0, 255), atol=1e-3)


@pytest.mark.parametrize('maxval', [1, 100, 1000, 4095, 65534])
@pytest.mark.parametrize('plain', [True, False])
def test_any_highest_value(tmp_path: Path, maxval: int, plain: bool) -> None:
    for bands in (1, 3):
        pixels = np.squeeze(RNG.integers(0, maxval, (*SIZE, bands), endpoint=True))
        (tmp_path / 'a.ppm').write_bytes(pnm(pixels, maxval, plain))
        stored = read_stored(str(tmp_path / 'a.ppm'), ImageReading(3))
        assert stored.whole == (0, maxval)
        assert np.array_equal(stored.pixels, np.broadcast_to(
            pixels.reshape(*SIZE, bands), (*SIZE, 3)))


@pytest.mark.parametrize('bits', [8, 12, 16])
def test_signed_values(tmp_path: Path, bits: int) -> None:
    pixels = values(bits, 1, signed=True)
    (tmp_path / 'a.j2k').write_bytes(imagecodecs.jpeg2k_encode(
        pixels, level=0, reversible=True, bitspersample=bits, codecformat='j2k'))
    stored = read_stored(str(tmp_path / 'a.j2k'), ImageReading(1))
    assert np.array_equal(stored.pixels[..., 0], pixels)
    assert ImageReading(1, 'dtype').range_of(stored) == (-2**(bits - 1), 2**(bits - 1) - 1)


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_floats_of_jpeg_xl(tmp_path: Path, dtype: str) -> None:
    pytest.importorskip('pillow_jxl')
    for bands in (1, 3):
        pixels = np.squeeze(RNG.uniform(0, 1, (*SIZE, bands)).astype(dtype))
        (tmp_path / 'a.jxl').write_bytes(imagecodecs.jpegxl_encode(pixels, lossless=True))
        stored = read_stored(str(tmp_path / 'a.jxl'), ImageReading(bands))
        assert np.array_equal(np.squeeze(stored.pixels), pixels) and stored.whole is None


@pytest.mark.parametrize('name', ['a.npy', 'a.png', 'a.tif', 'b.tif', 'a.pbm'])
def test_two_values(tmp_path: Path, name: str) -> None:
    pixels = RNG.random(SIZE) > 0.5
    if name == 'a.npy':
        np.save(tmp_path / name, pixels)
    elif name == 'b.tif':
        tifffile.imwrite(tmp_path / name, pixels, photometric='miniswhite')
    else:
        Image.fromarray(pixels).save(tmp_path / name, 'PPM' if name == 'a.pbm' else None)
    expected = 255 * (~pixels if name == 'b.tif' else pixels)[..., None]
    for how in (ImageReading(), ImageReading(1), ImageReading(1, 'dtype'), ImageReading(1, (0, 1)),
                ImageReading(3, 'dtype')):
        assert np.array_equal(read_levels(str(tmp_path / name), how),
                              expected.repeat(how.channels, axis=-1)), how


@pytest.mark.parametrize('name', ['pgm', 'ppm', 'j2k', 'jp2', 'avif', 'jxl', 'heic', 'png'])
def test_deep_images_too_have_limits_and_may_be_damaged(tmp_path: Path, name: str) -> None:
    if name in ('jxl', 'heic'):
        pytest.importorskip(dict(jxl='pillow_jxl', heic='pillow_heif')[name])
    bits = 16 if name == 'png' else 12
    content = WRITERS[name](values(bits, 3), bits)
    path = tmp_path / f'a.{name}'
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match='more pixels than max_pixels=100'):
        read_stored(str(path), ImageReading(3, 'dtype'), 100)
    for end in (30, len(content) // 2):
        path.write_bytes(content[:end])
        with pytest.raises(UnreadableImageError):
            read_stored(str(path), ImageReading(3, 'dtype'))
