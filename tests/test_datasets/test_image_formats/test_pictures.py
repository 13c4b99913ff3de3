"""What Pillow reads, by bands; and all bits of the formats of which it keeps eight."""

from pathlib import Path

import cv2
import imageio.v3 as imageio
import numpy as np
import pytest
from PIL import Image

from conmim_mm.datasets import ImageReading, read_rgb
from conmim_mm.datasets.image_formats import jpeg_xl
from conmim_mm.datasets.reading import read_levels, read_stored
from conmim_mm.errors import UnreadableImageError

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (16, 24, 4), dtype='uint8')
DEEP = RNG.integers(0, 2**16, (16, 24, 4), dtype='uint16')
SMOOTH = np.mgrid[:24, :32].sum(axis=0)[..., None].repeat(3, axis=-1).astype('uint8') * 4


def stored(path: Path, channels: int) -> np.ndarray:
    return read_stored(str(path), ImageReading(channels), 10**6).pixels


@pytest.mark.parametrize('name, written, channels, expected', [
    ('a.png', DEEP[..., 0], 1, DEEP[..., :1]), ('a.png', DEEP[..., :3], 3, DEEP[..., :3]),
    ('a.png', DEEP, 4, DEEP), ('a.png', DEEP, 3, DEEP[..., :3]), ('a.pgm', DEEP[..., 0], 1, None),
    ('a.png', BYTES[..., 0], 1, BYTES[..., :1]), ('a.png', BYTES, 4, BYTES),
    ('a.png', BYTES, 3, BYTES[..., :3]), ('a.png', BYTES[..., :2], 2, BYTES[..., :2]),
    ('a.png', BYTES[..., [0, 0, 0, 1]], 1, BYTES[..., :1]), ('a.bmp', BYTES[..., :3], 3, None),
    ('a.png', BYTES[..., [0, 0, 0]], 1, BYTES[..., :1]), ('a.webp', BYTES, 4, None)])
def test_bands_and_depth(tmp_path: Path, name: str, written: np.ndarray, channels: int,
                         expected: np.ndarray | None) -> None:
    options = dict(lossless=True, exact=True) if name == 'a.webp' else {}
    if written.dtype == np.uint16 and written.ndim == 3:  # of which Pillow writes none
        order = [2, 1, 0, 3][:written.shape[-1]]
        cv2.imwrite(str(tmp_path / name), written[..., order])
    else:
        imageio.imwrite(tmp_path / name, written, **options)
    expected = np.atleast_3d(written) if expected is None else expected
    assert np.array_equal(stored(tmp_path / name, channels), expected)


@pytest.mark.parametrize('quality', [75, 100])
def test_grey_jpeg(tmp_path: Path, quality: int) -> None:
    Image.fromarray(SMOOTH[..., 0]).save(tmp_path / 'a.jpg', quality=quality)
    with Image.open(tmp_path / 'a.jpg') as image:
        expected = np.asarray(image)
    assert np.array_equal(stored(tmp_path / 'a.jpg', 1)[..., 0], expected)


@pytest.mark.parametrize('channels, found', [(1, 3), (2, 3), (4, 3), (13, 3)])
def test_another_number_is_refused(tmp_path: Path, channels: int, found: int) -> None:
    imageio.imwrite(tmp_path / 'a.png', BYTES[..., :3])
    with pytest.raises(UnreadableImageError) as error:
        stored(tmp_path / 'a.png', channels)
    assert error.value.reason == f'it has {found} channels, not {channels}'


def test_first_frame_of_several(tmp_path: Path) -> None:
    frames = [Image.fromarray(BYTES[..., i]) for i in range(3)]
    frames[0].save(tmp_path / 'a.gif', save_all=True, append_images=frames[1:])
    Image.fromarray(SMOOTH).save(tmp_path / 'a.mpo', save_all=True, quality=95,
                                 append_images=[Image.fromarray(BYTES[..., :3])])
    assert np.array_equal(stored(tmp_path / 'a.gif', 1), BYTES[..., :1])
    assert np.abs(read_levels(str(tmp_path / 'a.mpo')).astype(int) - SMOOTH).max() < 9


def test_heic(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip('pillow_heif')
    pillow_heif.from_pillow(Image.fromarray(SMOOTH)).save(tmp_path / 'a.heic', quality=100)
    for how in (ImageReading(), ImageReading(3, (0, 254))):
        levels = read_levels(str(tmp_path / 'a.heic'), how)
        assert levels.shape == SMOOTH.shape and np.abs(levels - SMOOTH.astype(float)).max() < 6
    with pytest.raises(UnreadableImageError, match='more pixels'):
        read_rgb(str(tmp_path / 'a.heic'), 100)
    turned, exif = Image.fromarray(SMOOTH), Image.Exif()
    exif[0x0112] = 6
    turned.info['exif'] = exif.tobytes()
    turned.save(tmp_path / 'b.heic', quality=100)  # a quarter to the right
    levels = read_levels(str(tmp_path / 'b.heic')).astype(int)
    assert np.abs(levels - np.rot90(SMOOTH, -1)).max() < 6


@pytest.mark.parametrize('shape', [(16, 24), (24, 24), (20, 31), (37, 300)])
def test_jpeg_xl(tmp_path: Path, shape: tuple[int, int]) -> None:
    pytest.importorskip('pillow_jxl')
    pixels = RNG.integers(0, 256, (*shape, 3), dtype='uint8')
    Image.fromarray(pixels).save(tmp_path / 'a.jxl', lossless=True)
    assert np.array_equal(read_levels(str(tmp_path / 'a.jxl')), pixels)
    content = (tmp_path / 'a.jxl').read_bytes()
    assert jpeg_xl.read_header(content).pixels == shape[0] * shape[1]
    with pytest.raises(UnreadableImageError, match='more pixels'):
        read_rgb(str(tmp_path / 'a.jxl'), shape[0] * shape[1] - 1)


def test_print_colours_become_three_where_three_are_asked_for(tmp_path: Path) -> None:
    image = Image.new('CMYK', (8, 6), (255, 0, 0, 0))
    image.save(tmp_path / 'a.jpg', quality=95)
    read = read_stored(str(tmp_path / 'a.jpg'), ImageReading(3, value_range=(0, 255))).pixels
    assert read.shape == (6, 8, 3) and read[..., 0].max() < 40 and read[..., 1:].min() > 150
    assert read_stored(str(tmp_path / 'a.jpg'), ImageReading(4)).pixels.shape == (6, 8, 4)
