"""What takes the place of an unreadable image in pre-training."""

from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.fileio.backends import LocalBackend, backends

from conmim_mm.datasets import (
    ConMIMTwoViews,
    ImageFiles,
    LoadRGBImage,
    PackConMIMInputs,
    RandomPatchMask,
    SampleIndex,
)
from conmim_mm.errors import UnreadableImageError

from ..toy import write_noise_images

BAD = '3.png'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """0.png to 7.png, of which 3.png is a text."""
    write_noise_images(tmp_path, count=8, side=40)
    (tmp_path / BAD).write_text('no image')
    return tmp_path


def build(folder: Path, *pipeline: BaseTransform) -> ImageFiles:
    return ImageFiles(data_root=str(folder), serialize_data=False, pipeline=list(pipeline))


def pretraining(folder: Path, loader: BaseTransform | None = None) -> ImageFiles:
    return build(folder, loader or LoadRGBImage(), ConMIMTwoViews(size=32),
                 RandomPatchMask(img_size=32, patch_size=8, block_size=8, mask_ratio=0.5),
                 PackConMIMInputs())


@pytest.mark.parametrize('loader, content, reason', [
    (LoadRGBImage(), b'no image', 'not an image'),
    (LoadImageFromFile(), b'no image', 'failed to load image: {path}'),
    (LoadImageFromFile(ignore_empty=True), b'', 'not an image')])
def test_another_image_takes_the_place(folder: Path, loader: BaseTransform, content: bytes,
                                       reason: str) -> None:
    (folder / BAD).write_bytes(content)
    dataset = pretraining(folder, loader)
    sample = dataset[SampleIndex(3)]['data_samples']
    assert Path(sample.img_path).parent == folder and Path(sample.img_path).name != BAD
    path = str(folder / BAD)
    assert (path, reason.format(path=path)) in sample.skipped
    assert {skip[0] for skip in sample.skipped} == {path}
    assert dataset[SampleIndex(4)]['data_samples'].skipped == []


class Elsewhere(LocalBackend):
    """Has one image, whatever its name."""

    def __init__(self, image: str) -> None:
        self.image = image

    def get(self, filepath: str) -> bytes:
        return Path(self.image).read_bytes()


def test_a_loader_of_another_storage_needs_no_files(folder: Path, monkeypatch) -> None:
    monkeypatch.setitem(backends, 'elsewhere', Elsewhere)
    (folder / 'list.txt').write_text('a.png\nb.png\n')
    dataset = ImageFiles(data_root=str(folder), ann_file='list.txt', pipeline=[LoadImageFromFile(
        backend_args=dict(backend='elsewhere', image=str(folder / '0.png')))])
    sample = dataset[SampleIndex(1)]
    assert sample['skipped'] == [] and sample['img'].shape == (40, 40, 3)


def test_it_is_drawn_by_seed_epoch_and_index(folder: Path) -> None:
    for i in (0, 1, 2):
        (folder / f'{i}.png').write_bytes(b'')
    dataset = pretraining(folder)

    def drawn(index: int, seed: int, epoch: int) -> str:
        return dataset[SampleIndex(index, seed, epoch)]['data_samples'].img_path

    keys = [(index, seed, epoch) for index in range(4) for seed in range(4) for epoch in range(4)]
    first = [drawn(*key) for key in keys]
    assert first == [drawn(*key) for key in keys]
    assert set(first) == {str(folder / f'{i}.png') for i in range(4, 8)}
    for position in range(3):  # each part of the key matters
        fixed = [path for key, path in zip(keys, first, strict=True)
                 if all(part == 0 for i, part in enumerate(key) if i != position)]
        assert len(set(fixed)) > 1


def test_it_does_not_look_as_in_its_own_turn(folder: Path) -> None:
    for i in range(1, 8):
        (folder / f'{i}.png').write_bytes(b'')
    dataset = pretraining(folder)
    inputs = [dataset[SampleIndex(i, seed=1, epoch=2)]['inputs'] for i in (0, 1, 2, 1)]
    for key in inputs[0]:
        own, replacement, other, again = (sample[key] for sample in inputs)
        assert replacement.equal(again)
        assert not own.equal(replacement) and not replacement.equal(other)


def test_what_is_skipped_on_the_way_is_named_too(folder: Path) -> None:
    for i in range(1, 8):
        (folder / f'{i}.png').write_bytes(b'')
    sample = pretraining(folder)[SampleIndex(6)]['data_samples']
    drawn = [int(np.random.default_rng([0, 0, 6, attempt]).integers(8)) for attempt in range(1, 6)]
    assert drawn[-1] == 0 and 0 not in drawn[:-1]  # four in vain
    assert sample.img_path == str(folder / '0.png')
    assert sample.skipped == [(str(folder / f'{i}.png'), 'not an image') for i in (6, *drawn[:-1])]


def test_where_nothing_can_be_read(folder: Path) -> None:
    for i in range(8):
        (folder / f'{i}.png').write_bytes(b'')
    with pytest.raises(UnreadableImageError) as error:
        pretraining(folder)[SampleIndex(2)]
    assert str(error.value) == (f'cannot read the image {folder}/2.png: not an image; nor could '
                                'any of 100 others drawn in its place be read')


@pytest.mark.parametrize('loader, error', [
    (LoadRGBImage(), UnreadableImageError), (LoadImageFromFile(), AssertionError)])
def test_a_plain_index_raises_as_ever(folder: Path, loader: BaseTransform, error: type) -> None:
    with pytest.raises(error):
        build(folder, loader)[3]


class Defect(BaseTransform):
    def transform(self, results: dict) -> dict:
        raise OSError('a defect behind the loader')


@pytest.mark.parametrize('loader', [LoadRGBImage(), LoadImageFromFile()])
def test_defects_of_other_transforms_are_not_swallowed(folder: Path, loader) -> None:
    with pytest.raises(OSError, match='a defect behind the loader'):
        build(folder, loader, Defect())[SampleIndex(4)]
