"""Thousands of damaged files, the same every time: each is an image or an unreadable one."""

import io
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from conmim_mm.datasets import (
    ConMIMTwoViews,
    ImageFiles,
    LoadRGBImage,
    LoadTwoViews,
    SampleIndex,
    replacing_dataset,
)
from conmim_mm.errors import UnreadableImageError

NUM_FILES = 2600


def encoded() -> list[bytes]:
    """Small whole files of every kind."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (13, 17, 3), dtype=np.uint8))
    rgba = Image.fromarray(rng.integers(0, 256, (13, 17, 4), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 2**16, (13, 17), dtype=np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010E] = 'a description'
    saved = [
        (rgb, 'JPEG', {}),
        (rgb.convert('L'), 'JPEG', {}),
        (rgb.convert('CMYK'), 'JPEG', {}),
        (rgb, 'JPEG', dict(progressive=True)),
        (rgb, 'JPEG', dict(exif=exif)),
        (rgb, 'PNG', {}),
        (deep, 'PNG', {}),
        (rgb.quantize(16), 'PNG', dict(transparency=3)),
        (rgba, 'PNG', dict(exif=exif)),
        (rgb.convert('1'), 'PNG', {}),
        (rgb, 'WEBP', {}),
        (rgba, 'WEBP', dict(lossless=True, exif=exif)),
        (rgb, 'BMP', {}),
        (rgb.quantize(16), 'BMP', {}),
        (rgb, 'TIFF', {}),
        (deep, 'TIFF', {}),
        (rgb, 'TIFF', dict(compression='tiff_lzw')),
        (rgb, 'TIFF', dict(compression='jpeg')),
    ]
    files = []
    for image, kind, options in saved:
        file = io.BytesIO()
        image.save(file, kind, **options)
        files.append(file.getvalue())
    return [*files, interlaced_png()]


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG, with its check sum."""
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))


def interlaced_png() -> bytes:
    """Adam7, which Pillow reads but does not write."""
    grey = np.random.default_rng(1).integers(0, 256, (13, 17), dtype=np.uint8)
    starts_and_steps = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2),
                        (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = [row for y, x, dy, dx in starts_and_steps for row in grey[y::dy, x::dx]]
    pixels = zlib.compress(b''.join(b'\0' + row.tobytes() for row in rows))
    header = struct.pack('>IIBBBBB', 17, 13, 8, 0, 0, 0, 1)
    png = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', pixels) \
        + chunk(b'IEND', b'')
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), grey)
    return png


def flip(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    for place in rng.integers(len(file), size=rng.integers(1, 9)):
        file[place] ^= 1 << rng.integers(8)


def flip_in_header(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    for place in rng.integers(min(len(file), 64), size=rng.integers(1, 4)):
        file[place] = rng.integers(256)


def truncate(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    del file[rng.integers(len(file)):]


def insert(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    place = rng.integers(len(file))
    file[place:place] = rng.bytes(rng.integers(1, 33))


def cut_out(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    place = rng.integers(len(file))
    del file[place:place + rng.integers(1, 33)]


def blank(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    place = rng.integers(len(file))
    file[place:place + 16] = bytes([rng.choice([0, 255])]) * len(file[place:place + 16])


def swap_header(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    length = rng.integers(2, 40)
    file[:length] = other[:length]


def flip_behind_check_sums(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    """In a PNG, where check sums would stop a decoder early; elsewhere like ``flip``."""
    if not file.startswith(b'\x89PNG'):
        return flip(file, other, rng)
    chunks, place = [], 8
    while place < len(file):
        length, = struct.unpack_from('>I', file, place)
        chunks.append((bytes(file[place + 4:place + 8]), file[place + 8:place + 8 + length]))
        place += 12 + length
    kind, body = chunks[rng.integers(len(chunks) - 1)]  # the last one is empty
    body[rng.integers(len(body))] = rng.integers(256)
    file[8:] = b''.join(chunk(kind, bytes(body)) for kind, body in chunks)


DAMAGES = [flip, flip_in_header, truncate, insert, cut_out, blank, swap_header,
           flip_behind_check_sums]


def damaged_files() -> Iterator[tuple[str, bytes]]:
    """Each damage on each kind of file in turn."""
    whole = encoded()
    for i in range(NUM_FILES):
        rng = np.random.default_rng([2, i])
        damage, original = DAMAGES[i % len(DAMAGES)], whole[i // len(DAMAGES) % len(whole)]
        file = bytearray(original)
        damage(file, whole[rng.integers(len(whole))], rng)
        if file != original:
            yield damage.__name__, bytes(file)


def claims_much(content: bytes) -> bool:
    """Whether a PNG's chunk claims more than 16 MiB: OpenCV takes up to 4 GiB for it, and seconds.

    It then does say that it cannot read the file, but a test must not need such memory.
    """
    place = 8 if content.startswith(b'\x89PNG') else len(content)
    while place + 4 <= len(content):
        length, = struct.unpack_from('>I', content, place)
        if length > 2**24:
            return True
        place += 12 + length
    return False


def write_damaged_files(folder: Path, leave_out: Callable[[bytes], bool]) -> Path:
    for i, (damage, content) in enumerate(damaged_files()):
        if not leave_out(content):
            (folder / f'{i:04}_{damage}.jpg').write_bytes(content)
    return folder


# A limit that keeps the test small; OpenCV has one of its own.
@pytest.mark.parametrize('loader, leave_out', [
    (dict(type=LoadRGBImage, max_pixels=10**6), lambda content: False),
    (dict(type=LoadImageFromFile), claims_much)], ids=['Pillow', 'OpenCV'])
@pytest.mark.filterwarnings('ignore')  # Pillow tells of much that it passes over
def test_damaged_files(tmp_path: Path, loader: dict, leave_out: Callable[[bytes], bool],
                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacing_dataset, 'MAX_REPLACEMENTS', 0)
    dataset = ImageFiles(
        data_root=str(write_damaged_files(tmp_path, leave_out)), pipeline=[loader],
        serialize_data=False)
    assert len(dataset) >= 2300
    readable = Counter()
    for i in range(len(dataset)):
        path = dataset.get_data_info(i)['img_path']
        try:
            img = dataset[SampleIndex(i)]['img']
        except UnreadableImageError as error:
            assert path in str(error) and '\n' not in str(error)
            assert error.reason and '\n' not in error.reason
        else:
            assert img.dtype == np.uint8 and img.ndim == 3 and img.shape[2] == 3 and img.size
            readable[Path(path).stem.split('_', 1)[1]] += 1
    # a flipped bit among the pixels often does no harm; a cut or another format's header does
    assert 600 < readable.total() < 900
    assert readable['flip'] > 80 and readable['flip_behind_check_sums'] > 80
    assert readable['swap_header'] < 30 and readable['truncate'] < 30


@pytest.mark.filterwarnings('ignore')
def test_reading_what_the_crop_needs_meets_the_same_files(tmp_path: Path) -> None:
    whole = [LoadRGBImage(max_pixels=10**6), ConMIMTwoViews(size=32, perturbation=None)]
    in_part = [LoadTwoViews(max_pixels=10**6, size=32, perturbation=None)]
    readable, equal = 0, 0
    for i, (_, content) in enumerate(damaged_files()):
        path = tmp_path / f'{i}.jpg'
        path.write_bytes(content)
        views, reasons = [], []
        for pipeline in (whole, in_part):
            results = dict(img_path=str(path), sample_idx=SampleIndex(i))
            try:
                for transform in pipeline:
                    results = transform(results)
                views.append(results['student_view'].astype(int))
            except UnreadableImageError as error:
                reasons.append(error.reason)
        # the same verdict, and the same reason
        assert not (views and reasons) and len(set(reasons)) <= 1, path
        readable += bool(views)
        equal += bool(views) and np.abs(views[0] - views[1]).max() <= 3
    assert 600 < readable < 900 and readable - equal <= 5


def test_the_whole_files_are_readable(tmp_path: Path) -> None:
    for content in encoded():
        (tmp_path / 'a.jpg').write_bytes(content)
        for loader in (LoadRGBImage(), LoadImageFromFile()):
            assert loader(dict(img_path=str(tmp_path / 'a.jpg')))['img'].shape[2] == 3
