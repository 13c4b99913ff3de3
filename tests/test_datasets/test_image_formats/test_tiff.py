"""TIFF files as tifffile and GDAL write them are read value for value."""

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from conmim_mm.datasets import ImageReading
from conmim_mm.datasets.grey_levels import measure_values
from conmim_mm.datasets.reading import read_levels, read_stored
from conmim_mm.errors import UnreadableImageError

RNG = np.random.default_rng(0)
SIZE = 20, 31
MAX = 10**6


def bands(count: int, dtype: str = 'uint16') -> np.ndarray:
    """``(H, W, count)`` of any values that the type has."""
    if np.dtype(dtype).kind == 'f':
        return RNG.normal(0, 1e4, (*SIZE, count)).astype(dtype)
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, (*SIZE, count), dtype=dtype, endpoint=True)


def stored(path: Path, channels: int, **keys: object) -> np.ndarray:
    return read_stored(str(path), ImageReading(channels, **keys), MAX).pixels


@pytest.mark.parametrize('options', [
    dict(photometric='minisblack', planarconfig='contig'),
    dict(photometric='minisblack', planarconfig='separate'),
    dict(photometric='rgb', planarconfig='contig'),
    dict(photometric='rgb', planarconfig='separate'),
    dict(photometric='minisblack', planarconfig='contig', tile=(16, 16), compression='zlib',
         predictor=True),
    dict(photometric='minisblack', planarconfig='separate', rowsperstrip=3, compression='lzw'),
    dict(photometric='minisblack', planarconfig='contig', bigtiff=True, compression='zstd'),
    dict(photometric='minisblack', planarconfig='contig', byteorder='>')],
    ids=lambda options: '-'.join(map(str, options.values())))
def test_each_layout(tmp_path: Path, options: dict) -> None:
    pixels = bands(13)
    written = np.moveaxis(pixels, -1, 0) if options['planarconfig'] == 'separate' else pixels
    tifffile.imwrite(tmp_path / 'a.tif', written, **options)
    assert np.array_equal(stored(tmp_path / 'a.tif', 13), pixels)


@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'int16', 'uint32', 'float16', 'float32'])
@pytest.mark.parametrize('count', [1, 2, 4])
def test_each_type(tmp_path: Path, dtype: str, count: int) -> None:
    pixels = bands(count, dtype)
    tifffile.imwrite(tmp_path / 'a.tif', pixels, photometric='minisblack',
                     planarconfig='contig' if count > 1 else None)
    read = stored(tmp_path / 'a.tif', count)
    assert read.dtype == pixels.dtype and np.array_equal(read, pixels)


def gdal_file(pixels: np.ndarray, nodata: str = '-9999') -> bytes:
    """As GDAL's driver writes it by default: bands in planes, those after the first unspecified.

    Args:
        pixels: ``(H, W, C)`` int16.
        nodata: A text that only GDAL knows.
    """
    height, width, count = pixels.shape
    planes = np.moveaxis(pixels, -1, 0).astype('<i2').tobytes()
    lists = dict(bits=(16, ) * count, extra=(0, ) * (count - 1), sign=(2, ) * count)
    entries, blobs, place = 13, b'', 8 + 2 + 12 * 13 + 4

    def outside(code: str, values: tuple) -> int:
        nonlocal blobs
        where = place + len(blobs)
        blobs += struct.pack(f'<{len(values)}{code}', *values)
        return where

    bits, extra, sign = (outside('H', values) for values in lists.values())
    text = outside('B', tuple(nodata.encode() + b'\0\0'))
    sizes = outside('I', (height * width * 2, ) * count)
    offsets = place + len(blobs)
    start = offsets + 4 * count
    blobs += struct.pack(f'<{count}I', *(start + i * height * width * 2 for i in range(count)))
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, count, bits), (259, 3, 1, 1),
            (262, 3, 1, 1), (273, 4, count, offsets), (277, 3, 1, count), (278, 3, 1, height),
            (279, 4, count, sizes), (284, 3, 1, 2), (338, 3, count - 1, extra),
            (339, 3, count, sign), (42113, 2, len(nodata) + 1, text)]
    assert len(tags) == entries
    return struct.pack('<2sHIH', b'II', 42, 8, entries) + b''.join(
        struct.pack('<HHII', *tag) for tag in tags) + bytes(4) + blobs + planes


def test_what_gdal_writes(tmp_path: Path) -> None:
    pixels = bands(7, 'int16')
    (tmp_path / 'a.tif').write_bytes(gdal_file(pixels))
    assert np.array_equal(tifffile.imread(tmp_path / 'a.tif'), np.moveaxis(pixels, -1, 0))
    assert np.array_equal(stored(tmp_path / 'a.tif', 7), pixels)


@pytest.mark.parametrize('dtype, missing, low, high', [
    ('int16', '-9999', -200, 1800), ('int16', '32767', 0, 1000), ('uint16', '0', 100, 3000),
    ('float32', '-3.4028235e+38', 0, 9), ('float64', 'nan', 0, 9), ('uint8', '255', 0, 255)])
def test_what_gdal_calls_no_data_is_black(tmp_path: Path, dtype: str, missing: str, low: int,
                                          high: int) -> None:
    """And is not measured."""
    pixels = RNG.integers(low + 1, high, (*SIZE, 2)).astype(dtype)
    pixels[:3] = float(missing)
    tifffile.imwrite(tmp_path / 'a.tif', pixels, photometric='minisblack', planarconfig='contig',
                     extratags=[(42113, 2, 0, missing, True)])
    how = ImageReading(2, (low, high), view_dtype='float32')
    levels = read_levels(str(tmp_path / 'a.tif'), how)
    expected = (pixels[3:].astype(float) - low) / (high - low) * 255
    assert not levels[:3].any() and np.abs(levels[3:] - expected).max() < 1e-3
    measured = measure_values([read_stored(str(tmp_path / 'a.tif'), how)])
    assert (measured.lowest, measured.highest) == (pixels[3:].min(), pixels[3:].max())


def test_pages_are_bands_on_request(tmp_path: Path) -> None:
    pixels = bands(5)
    tifffile.imwrite(tmp_path / 'a.tif', np.moveaxis(pixels, -1, 0), photometric='minisblack')
    assert np.array_equal(stored(tmp_path / 'a.tif', 5, bands_from='pages'), pixels)
    assert np.array_equal(stored(tmp_path / 'a.tif', 1), pixels[..., :1])
    with pytest.raises(UnreadableImageError) as error:
        stored(tmp_path / 'a.tif', 5)
    assert error.value.reason == (
        'it has 1 channel, not 5 (5 pages, which --bands-from pages takes as bands)')
    with tifffile.TiffWriter(tmp_path / 'b.tif') as file:
        file.write(pixels[..., 0], photometric='minisblack')
        file.write(pixels[:10, :, 0], photometric='minisblack')
    with pytest.raises(UnreadableImageError, match='pages are of several sizes'):
        stored(tmp_path / 'b.tif', 2, bands_from='pages')


def test_overviews_are_no_bands(tmp_path: Path) -> None:
    """As files have them that are made for the cloud."""
    pixels = bands(3)
    with tifffile.TiffWriter(tmp_path / 'a.tif') as file:
        for band in range(3):
            file.write(pixels[..., band], photometric='minisblack')
        file.write(pixels[::2, ::2, 0], photometric='minisblack', subfiletype=1)
    assert np.array_equal(stored(tmp_path / 'a.tif', 3, bands_from='pages'), pixels)


@pytest.mark.parametrize('kind', ['minisblack', 'miniswhite'])
def test_pages_of_two_values(tmp_path: Path, kind: str) -> None:
    pixels = RNG.random((5, *SIZE)) > 0.5
    tifffile.imwrite(tmp_path / 'a.tif', pixels, photometric=kind)
    levels = read_levels(str(tmp_path / 'a.tif'), ImageReading(5, bands_from='pages'))
    assert np.array_equal(levels > 0, np.moveaxis(pixels == (kind == 'minisblack'), 0, -1))


@pytest.mark.parametrize('orientation', range(1, 9))
def test_upright_as_pillow_has_it(tmp_path: Path, orientation: int) -> None:
    pixels = bands(3, 'uint8')
    tifffile.imwrite(tmp_path / 'a.tif', pixels, photometric='rgb',
                     extratags=[(274, 3, 1, orientation, False)])
    with Image.open(tmp_path / 'a.tif') as image:
        expected = np.asarray(image)
    assert np.array_equal(stored(tmp_path / 'a.tif', 3, value_range=(0, 200)), expected)


def test_opacity_is_no_fourth_colour(tmp_path: Path) -> None:
    pixels = bands(4)
    for name, kind in (('alpha', 'unassalpha'), ('infrared', 'unspecified')):
        tifffile.imwrite(tmp_path / f'{name}.tif', pixels, photometric='rgb', extrasamples=[kind])
    assert np.array_equal(stored(tmp_path / 'alpha.tif', 3), pixels[..., :3])
    for name in ('alpha', 'infrared'):
        assert np.array_equal(stored(tmp_path / f'{name}.tif', 4), pixels)
    with pytest.raises(UnreadableImageError) as error:
        stored(tmp_path / 'infrared.tif', 3)
    assert error.value.reason == 'it has 4 channels, not 3'


@pytest.mark.parametrize('dtype', ['bool', 'uint8', 'uint16', 'int16', 'uint32', 'float32'])
@pytest.mark.parametrize('how', [ImageReading(), ImageReading(1), ImageReading(3, (0, 100))])
def test_white_may_be_zero(tmp_path: Path, dtype: str, how: ImageReading) -> None:
    """Default or not, it is the other way round than where black is."""
    pixels = np.linspace(0, 1, SIZE[0] * SIZE[1]).reshape(SIZE)
    pixels = (pixels > 0.5 if dtype == 'bool' else pixels * 255 if dtype == 'float32' else
              pixels * np.iinfo(dtype).max).astype(dtype)
    levels = []
    for kind in ('miniswhite', 'minisblack'):
        tifffile.imwrite(tmp_path / 'a.tif', pixels, photometric=kind)
        levels.append(read_levels(str(tmp_path / 'a.tif'), how).astype(int))
    if dtype in ('uint32', 'int16') and how.is_rgb:  # Pillow opens one kind of these alone
        levels[1] = read_levels(str(tmp_path / 'a.tif'), ImageReading(3, 'dtype')).astype(int)
    assert np.abs(levels[0] + levels[1] - 255).max() <= 1 and np.ptp(levels[0]) > 99


@pytest.mark.parametrize('photometric, options', [
    ('palette', dict(colormap=RNG.integers(0, 2**16, (3, 256), dtype='uint16'))),
    ('minisblack', {})])
def test_what_pillow_reads_stays_its(tmp_path: Path, photometric: str, options: dict) -> None:
    pixels = bands(1, 'uint8')[..., 0]
    tifffile.imwrite(tmp_path / 'a.tif', pixels, photometric=photometric, **options)
    with Image.open(tmp_path / 'a.tif') as image:
        expected = np.asarray(image.convert('RGB'))
    for how in (ImageReading(), ImageReading(3, (0, 255), view_dtype='float32')):
        assert np.array_equal(read_levels(str(tmp_path / 'a.tif'), how), expected)


def test_what_pillow_cannot_open_is_read_by_default(tmp_path: Path) -> None:
    pixels = RNG.uniform(0, 255, (*SIZE, 3)).astype('float32')
    tifffile.imwrite(tmp_path / 'a.tif', pixels, photometric='rgb')
    assert np.array_equal(read_levels(str(tmp_path / 'a.tif')), np.rint(pixels))
    tifffile.imwrite(tmp_path / 'b.tif', bands(13), photometric='minisblack',
                     planarconfig='contig')
    with pytest.raises(UnreadableImageError) as error:
        read_levels(str(tmp_path / 'b.tif'))
    assert error.value.reason == 'it has 13 channels, not 3'


@pytest.mark.parametrize('damage, reason', [
    (lambda data: data[:200], ''), (lambda data: data[:8], ''),
    (lambda data: data[:-3000], ''), (lambda data: data.replace(
        struct.pack('<HHII', 256, 3, 1, 31), struct.pack('<HHII', 256, 4, 1, 10**6)),
     'more pixels than max_pixels=1000000'),
    (lambda data: data.replace(struct.pack('<HHII', 256, 3, 1, 31),
                               struct.pack('<HHII', 256, 3, 1, 0)), '')])
def test_damage_and_lies(tmp_path: Path, damage, reason: str) -> None:
    (tmp_path / 'a.tif').write_bytes(damage(gdal_file(bands(7, 'int16'))))
    with pytest.raises(UnreadableImageError) as error:
        stored(tmp_path / 'a.tif', 7)
    assert reason in str(error.value) and '\n' not in str(error.value)


def test_a_small_file_does_not_fill_the_memory(tmp_path: Path) -> None:
    """Few pixels, but bands without end."""
    data = gdal_file(bands(7, 'int16'))
    data = data.replace(struct.pack('<HHII', 277, 3, 1, 7), struct.pack('<HHII', 277, 3, 1, 65535))
    data = data.replace(struct.pack('<HHII', 256, 3, 1, 31), struct.pack('<HHII', 256, 4, 1, 49000))
    (tmp_path / 'a.tif').write_bytes(data)
    with pytest.raises(UnreadableImageError, match='more than any image that is read'):
        stored(tmp_path / 'a.tif', 65535)


@pytest.mark.parametrize('layout', ['contig', 'separate'])
def test_colours_of_16_bits_without_any_option(tmp_path: Path, layout: str) -> None:
    """Pillow takes planes of 16 bits for planes of 8, and gives noise."""
    ramp = np.linspace(0, 65535, 3 * SIZE[0] * SIZE[1]).reshape(*SIZE, 3).astype(np.uint16)
    written = np.moveaxis(ramp, -1, 0) if layout == 'separate' else ramp
    tifffile.imwrite(tmp_path / 'a.tif', written, photometric='rgb', planarconfig=layout)
    read = read_levels(str(tmp_path / 'a.tif'))
    assert read.dtype == np.uint8 and np.abs(read - ramp / 257).max() <= 1


@pytest.mark.parametrize('dtype', ['float16', 'float32', 'float64'])
@pytest.mark.parametrize('kind', ['minisblack', 'miniswhite', 'rgb'])
@pytest.mark.parametrize('how', [
    ImageReading(), ImageReading(view_dtype='float32'), ImageReading(3, (0, 200))])
def test_what_is_no_number_is_black(tmp_path: Path, dtype: str, kind: str,
                                    how: ImageReading) -> None:
    """Even where black is the highest value."""
    pixels = np.array([[np.nan, np.inf, -np.inf, 0, 255]], dtype=dtype)
    pixels = pixels[..., None].repeat(3, axis=-1) if kind == 'rgb' else pixels
    tifffile.imwrite(tmp_path / 'a.tif', pixels, photometric=kind)
    read = read_levels(str(tmp_path / 'a.tif'), how)
    expected = [0, 0, 0, *((255, 0) if kind == 'miniswhite' else (0, 255))]
    assert read[0, :, 0].tolist() == read[0, :, 2].tolist() == expected
