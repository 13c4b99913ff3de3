import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from conmim_mm.datasets.transforms import jpeg_region
from conmim_mm.datasets.transforms.jpeg_region import parse_jpeg
from conmim_mm.datasets.transforms.loading import MAX_PIXELS, read_rgb

from .test_loading import STORED

NOTHING_IS_ENOUGH = (10**6, 10**6)  # so that nothing is reduced


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    channels = [127 + 120 * np.sin(x / 9 + y / 17), 127 + 120 * np.cos(x / 23 - y / 11),
                (3 * x + 5 * y) // 9 % 256]
    return np.stack(channels, axis=-1).astype(np.uint8)


def jpeg(image: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'jpeg', quality=90, **options)
    return file.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))


def boxes(width: int, height: int) -> list[tuple[int, int, int, int]]:
    return [(0, 0, width, height), (5, 3, 40, 31), (width - 20, height - 9, width, height),
            (0, 0, 1, 1), (17, 0, 18, height), (0, 30, width, 31), (7, 16, 33, 48)]


@pytest.mark.parametrize('options', [
    dict(subsampling='4:4:4'), dict(subsampling='4:2:2'), dict(subsampling='4:2:0'),
    dict(progressive=True), dict(progressive=True, subsampling='4:4:4'), dict(optimize=True),
    dict(restart_marker_blocks=3)], ids=str)
def test_a_box_is_that_of_the_whole_image(options: dict) -> None:
    data = jpeg(smooth(83, 101), **options)
    image, whole = parse_jpeg(data, MAX_PIXELS), decoded(data)
    assert image.size == (101, 83)
    for left, top, right, bottom in boxes(101, 83):
        region = image.region((left, top, right, bottom), NOTHING_IS_ENOUGH)
        expected = whole[top:bottom, left:right].astype(int)
        # Pillow and simplejpeg each have a libjpeg-turbo of their own, which may round differently
        assert np.abs(region - expected).max() <= 2


def test_grey_images() -> None:
    data = jpeg(smooth(50, 60)[..., 0])
    region = parse_jpeg(data, MAX_PIXELS).region((3, 4, 30, 20), NOTHING_IS_ENOUGH)
    assert np.array_equal(region, decoded(data)[4:20, 3:30])


@pytest.mark.parametrize('orientation', STORED)
def test_boxes_are_those_of_the_upright_image(orientation: int) -> None:
    upright = smooth(83, 101)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg(np.ascontiguousarray(STORED[orientation](upright)), exif=exif)
    image = parse_jpeg(data, MAX_PIXELS)
    whole = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert image.size == (101, 83) and np.abs(whole.astype(int) - upright).mean() < 5
    for left, top, right, bottom in boxes(101, 83):
        region = image.region((left, top, right, bottom), NOTHING_IS_ENOUGH)
        expected = whole[top:bottom, left:right].astype(int)
        assert region.shape == expected.shape and np.abs(region - expected).max() <= 2


def test_orientation_in_xmp_counts_as_for_pillow() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    data = jpeg(smooth(83, 101), xmp=xmp)
    assert parse_jpeg(data, MAX_PIXELS).size == (83, 101)


@pytest.mark.parametrize('shrink', [2, 4, 8])
def test_a_large_box_is_the_mean_of_squares(shrink: int) -> None:
    data = jpeg(smooth(320, 480), subsampling='4:4:4')
    whole = decoded(data).astype(float)
    box = left, top, right, bottom = 40, 64, 456, 304
    enough = (right - left) // shrink, (bottom - top) // shrink
    region = parse_jpeg(data, MAX_PIXELS).region(box, enough)
    squares = whole[top:bottom, left:right].reshape(enough[1], shrink, enough[0], shrink, 3)
    assert region.shape == (enough[1], enough[0], 3)
    gaps = np.abs(region - squares.mean(axis=(1, 3)))
    assert gaps[..., :2].mean() < 1  # the third channel has a sharp edge


@pytest.mark.parametrize('enough, shape', [
    ((224, 224), (300, 400)), ((151, 151), (300, 400)), ((200, 150), (150, 200)),
    ((200, 151), (300, 400)), ((100, 75), (75, 100)), ((50, 37), (38, 50)), ((1, 1), (38, 50))])
def test_it_is_never_reduced_below_enough(enough: tuple, shape: tuple) -> None:
    data = jpeg(smooth(304, 400))
    region = parse_jpeg(data, MAX_PIXELS).region((0, 0, 400, 300), enough)
    assert region.shape[:2] == shape


def test_turned_images_are_reduced_by_the_right_sides() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = jpeg(smooth(400, 300), exif=exif)  # upright 400 wide
    image = parse_jpeg(data, MAX_PIXELS)
    assert image.region((0, 0, 400, 300), (200, 150)).shape == (150, 200, 3)
    assert image.region((0, 0, 400, 300), (150, 200)).shape == (300, 400, 3)


def test_rows_below_the_box_are_not_looked_at() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    data = bytearray(jpeg(noise))
    intact = parse_jpeg(bytes(data), MAX_PIXELS).region(
        (0, 0, 256, 64), NOTHING_IS_ENOUGH).copy()
    start = len(data) // 2
    data[start:-2] = bytes(len(data) - 2 - start)
    region = parse_jpeg(bytes(data), MAX_PIXELS).region((0, 0, 256, 64), NOTHING_IS_ENOUGH)
    assert np.array_equal(region, intact)


def test_images_beyond_the_scratch_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpeg(smooth(83, 101))
    expected = parse_jpeg(data, MAX_PIXELS).region((5, 3, 40, 31), NOTHING_IS_ENOUGH).copy()
    monkeypatch.setattr(jpeg_region, 'MAX_SCRATCH', 1000)
    region = parse_jpeg(data, MAX_PIXELS).region((5, 3, 40, 31), NOTHING_IS_ENOUGH)
    assert np.array_equal(region, expected)


def with_frame(data: bytes, offset: int, value: int) -> bytes:
    """The file with a byte of its frame header changed."""
    at = data.index(b'\xff\xc0') + offset
    return data[:at] + bytes([value]) + data[at + 1:]


@pytest.mark.parametrize('change', [
    lambda data: b'', lambda data: b'\xff\xd8', lambda data: data[:300], lambda data: data[:-300],
    lambda data: b'\x89PNG' + data, lambda data: data + bytes(10_000),
    lambda data: with_frame(data, 1, 0xC3),  # lossless
    lambda data: with_frame(data, 1, 0xC9),  # arithmetic
    lambda data: with_frame(data, 4, 12),  # bits
    lambda data: with_frame(data, 9, 4),  # CMYK
    lambda data: with_frame(with_frame(data, 5, 0), 6, 0),  # no rows
    lambda data: data.replace(b'\xff\xda', b'\x00\x00'),  # no scan
    lambda data: data.replace(b'\xff\xc4', b'\xff\xd4'),  # a marker that has no length
])
def test_what_is_left_to_the_plain_reader(change) -> None:
    data = jpeg(smooth(40, 50))
    assert parse_jpeg(data, MAX_PIXELS) is not None
    assert parse_jpeg(change(data), MAX_PIXELS) is None
    assert parse_jpeg(data, 40 * 50) is not None and parse_jpeg(data, 40 * 50 - 1) is None


def test_no_flipped_bit_of_the_header_gives_another_images_pixels(tmp_path: Path) -> None:
    """What a damaged header does to the decoder must not look like pixels."""
    data, other = jpeg(smooth(40, 50)), jpeg(255 - smooth(40, 50))
    path, scan_at = tmp_path / 'a.jpg', data.index(b'\xff\xda')
    seen = 0
    for place in range(2, scan_at):
        for bit in range(8):
            damaged = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1:]
            if (image := parse_jpeg(damaged, 10**5)) is None:
                continue
            parse_jpeg(other, 10**5).region((0, 0, 50, 40), NOTHING_IS_ENOUGH)
            try:
                region = image.region((0, 0, *image.size), NOTHING_IS_ENOUGH).astype(int)
            except ValueError:
                continue
            path.write_bytes(damaged)
            assert np.abs(region - np.asarray(read_rgb(str(path)))).max() <= 3, (place, bit)
            seen += 1
    assert seen > 100


def test_every_file_cut_off_anywhere_is_left_to_the_plain_reader() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    data = jpeg(smooth(40, 50), exif=exif)
    assert all(parse_jpeg(data[:end], MAX_PIXELS) is None for end in range(len(data) - 1))


def test_short_trailers_are_no_damage(tmp_path: Path) -> None:
    assert parse_jpeg(jpeg(smooth(40, 50)) + bytes(2000), MAX_PIXELS).size == (50, 40)


def test_without_the_decoder_everything_is_left_to_the_plain_reader(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(jpeg_region, 'simplejpeg', None)
    assert parse_jpeg(jpeg(smooth(40, 50)), MAX_PIXELS) is None
