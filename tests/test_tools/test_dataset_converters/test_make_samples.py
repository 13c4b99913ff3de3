"""The generated images are of the formats that they stand for, and the same every time."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image

from conmim_mm.datasets.reading import ImageReading, read_levels
from conmim_mm.errors import InputError

from ...conftest import load_tool

make_samples = load_tool('dataset_converters/make_samples.py').make_samples
COUNTS = dict(train=2, val=2)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob('*')) if path.is_file()}


@pytest.mark.parametrize('kind, ending', [('tiles', '.tif'), ('x-rays', '.dcm')])
def test_the_same_every_time(tmp_path: Path, kind: str, ending: str) -> None:
    for name, seed in (('a', 0), ('b', 0), ('c', 1)):
        make_samples(kind, tmp_path / name, COUNTS, 64, seed)
    made = files(tmp_path / 'a')
    assert made == files(tmp_path / 'b') and made != files(tmp_path / 'c')
    assert [*made] == [f'{folder}/{part}/000{i}{end}' for folder, end in (
        ('annotations', '.png'), ('images', ending)) for part in COUNTS for i in range(2)]
    labels = np.asarray(Image.open(tmp_path / 'a' / 'annotations' / 'train' / '0000.png'))
    assert labels.shape == (64, 64) and set(np.unique(labels)) <= {0, 1, 2, 3}
    with pytest.raises(InputError, match='is there already'):
        make_samples(kind, tmp_path / 'a', COUNTS, 64, 0)


def test_tiles(tmp_path: Path) -> None:
    make_samples('tiles', tmp_path / 'a', COUNTS, 64, 0)
    with tifffile.TiffFile(tmp_path / 'a' / 'images' / 'train' / '0000.tif') as file:
        page, = file.pages
        assert page.is_tiled and page.shape == (64, 64, 13) and page.dtype == 'uint16'
        assert page.asarray().max() > 255


def test_x_rays(tmp_path: Path) -> None:
    """White is bone, whichever way round a file has it."""
    make_samples('x-rays', tmp_path / 'a', COUNTS, 64, 0)
    for number in range(2):
        path = tmp_path / 'a' / 'images' / 'train' / f'000{number}.dcm'
        file = pydicom.dcmread(path)
        assert (file.BitsAllocated, file.BitsStored) == (16, 12)
        assert file.PhotometricInterpretation == f'MONOCHROME{2 - number}'
        levels = read_levels(str(path), ImageReading(1, (0, 4095)))[..., 0]
        labels = np.asarray(Image.open(tmp_path / 'a' / 'annotations' / 'train'
                                       / f'000{number}.png'))
        assert levels[labels == 0].mean() < 30 < 100 < levels[labels == 3].mean()
