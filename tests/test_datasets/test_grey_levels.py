"""Images that have lost their grey levels on the way to 8 bits are told of."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conmim_mm.commands.doctor import checks_data
from conmim_mm.datasets import ImageFiles, TarShards
from conmim_mm.datasets.grey_levels import describe_lost_levels, look_at

from ..shards import shard_tree

RNG = np.random.default_rng(0)
SHAPE = 64, 64


def levels(low: float, high: float, dtype: str) -> np.ndarray:
    return RNG.uniform(low, high, SHAPE).astype(dtype)


LOST = {
    '12 bits in 16': (levels(0, 2**12, 'uint16'), 'png', '16 (stored as uint16, 0 to 409'),
    '14 bits in 16': (levels(0, 2**14, 'uint16'), 'tif', '64 (stored as uint16, '),
    '8 bits in 16': (levels(0, 255, 'uint16'), 'png', '1 (stored as uint16, '),
    'float to 1': (levels(0, 1, 'float32'), 'tif', 'stored as float32, '),
    'float to 65535': (levels(0, 2**16, 'float32'), 'tif', 'stored as float32, '),
    'no numbers': (np.full(SHAPE, np.nan, 'float32'), 'tif', 'stored as float32, nan to nan'),
    'signed': (levels(-1000, 1500, 'int16'), 'tif', '6 (stored as int16, -'),
    'signed, wide': (levels(-2**15, 2**15, 'int16'), 'tif', 'stored as int16, -'),
    '32 bits': (levels(0, 2**31, 'int32'), 'tif', 'stored as int32, '),
    'constant': (np.full((*SHAPE, 3), 99, 'uint8'), 'png', 'has 1: there is little'),
    'constant jpeg': (np.full((*SHAPE, 3), 99, 'uint8'), 'jpg', 'has 1: there is little'),
    'two values': (RNG.random(SHAPE) > 0.5, 'npy', '2 (stored as bool, 0 to 1): there is little'),
    'labels': (RNG.integers(0, 20, SHAPE).astype('uint8'), 'png', 'has 20: there is little'),
}
KEPT = {
    'photo': (levels(0, 256, 'uint8'), 'jpg'), '16 bits': (levels(0, 2**16, 'uint16'), 'png'),
    'float to 255': (levels(0, 255, 'float32'), 'tif'),
    '32 bits to 65535': (levels(0, 2**16, 'int32'), 'tif')}


def save(pixels: np.ndarray, path: Path) -> None:
    if path.suffix == '.npy':
        np.save(path, pixels)
    elif pixels.dtype == np.int16:  # which Pillow reads, but does not write
        file = io.BytesIO()
        Image.fromarray(pixels.view('uint16')).save(file, 'TIFF', tiffinfo={339: 2})
        path.write_bytes(file.getvalue())
    else:
        Image.fromarray(pixels).save(path)


def described(dataset: ImageFiles | TarShards) -> str:
    return describe_lost_levels(look_at(dataset).levels)


@pytest.mark.parametrize('name', LOST)
@pytest.mark.filterwarnings('ignore')  # of numbers that are none
def test_lost_levels(name: str, tmp_path: Path) -> None:
    pixels, ending, words = LOST[name]
    for i in range(3):
        save(pixels, tmp_path / f'{i}.{ending}')
    if ending != 'npy':  # which are images where there are no others
        (tmp_path / 'broken.png').touch()
    text = described(ImageFiles(data_root=str(tmp_path)))
    assert text.startswith('3 of 3 images looked at have hardly any grey levels')
    assert words in text and f'{tmp_path}/0.{ending} has ' in text and '\n' not in text
    if ending == 'npy':
        return
    (tmp_path / 'broken.png').unlink()
    shard_tree(tmp_path, tmp_path / 'shards', 3)
    assert words in described(TarShards('*.tar', data_root=str(tmp_path / 'shards')))


@pytest.mark.parametrize('name', KEPT)
def test_kept_levels(name: str, tmp_path: Path) -> None:
    for i in range(20):
        save(KEPT[name][0], tmp_path / f'{i:02}.{KEPT[name][1]}')
    for i in (3, 8):  # a tenth may be blank
        save(np.zeros(SHAPE, 'uint8'), tmp_path / f'{i:02}.{KEPT[name][1]}')
    assert described(ImageFiles(data_root=str(tmp_path))) == ''


def test_the_doctor_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_data, 'MAX_VIEWS', 2)
    save(LOST['12 bits in 16'][0], tmp_path / 'a.png')
    (tmp_path / 'b.xcf').touch()
    checks = {check.name: check for check in checks_data.check_data(tmp_path)}
    assert checks['left out'].finding == '1 .xcf'
    assert checks['grey levels'].status == 'problem'
    assert '--value-range auto' in checks['grey levels'].advice
