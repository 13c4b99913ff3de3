"""Thousands of damaged files, the same every time: each is an image or an unreadable one."""

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from damages import DAMAGES, encoded
from mmcv.transforms import LoadImageFromFile

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
