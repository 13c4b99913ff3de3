"""Folders of images and maps: which are pairs, what is shown of them, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conmim_mm.datasets import LabelledMaps
from conmim_mm.datasets.segmentation_folder import (
    segmentation_datasets,
    segmentation_split,
)
from conmim_mm.errors import InputError, UnreadableImageError

from ..labelled import write_labelled_maps


def names(pairs: list[tuple[str, str]]) -> list[tuple[str, ...]]:
    return [tuple(Path(path).stem for path in pair) for pair in pairs]


@pytest.mark.parametrize('parts', [('train', 'val'), ('training', 'validation'), ('Train', 'test')])
def test_parts_of_a_folder(tmp_path, parts: tuple[str, str]) -> None:
    for part, count in zip(parts, (3, 2), strict=True):
        write_labelled_maps(tmp_path, part, count)
    split = segmentation_split(str(tmp_path))
    assert names(split.train) == [('0', '0'), ('1', '1'), ('2', '2')]
    assert names(split.held_out) == [('0', '0'), ('1', '1')]
    assert split.held_out_root == str(tmp_path / 'images' / parts[1])
    assert split.held_out[0] == (str(tmp_path / 'images' / parts[1] / '0.png'),
                                 str(tmp_path / 'annotations' / parts[1] / '0.png'))


def test_every_fifth_without_parts(tmp_path) -> None:
    write_labelled_maps(tmp_path, 'a', 11)
    (tmp_path / 'annotations' / 'a' / '5.png').rename(tmp_path / 'annotations' / 'a' / '5.bmp')
    split = segmentation_split(str(tmp_path))
    found = sorted(str(i) for i in range(11))
    assert names(split.held_out) == [(found[i], found[i]) for i in (4, 9)]
    assert names(split.train) == [(name, name) for i, name in enumerate(found) if i not in (4, 9)]
    assert split.held_out_root == str(tmp_path / 'images')


def test_image_and_map_are_squashed(tmp_path) -> None:
    write_labelled_maps(tmp_path, count=10)
    labels = np.repeat(np.array([[0, 1], [2, 255]], np.uint8), 8, 0).repeat(12, 1)  # 16 x 24
    Image.fromarray(labels).save(tmp_path / 'annotations' / '0.png')
    pixels = np.stack([labels, labels // 2, labels * 0], axis=-1)
    Image.fromarray(pixels).save(tmp_path / 'images' / '0.png')
    part, _ = segmentation_datasets(segmentation_split(str(tmp_path)), (4, 8), ignore=[2])
    sample = part[0]
    assert sample['data_samples'].gt_map.tolist() == (
        [[0] * 4 + [1] * 4] * 2 + [[255] * 8] * 2)
    expected = Image.fromarray(pixels).resize((8, 4), Image.Resampling.BICUBIC)
    assert np.array_equal(sample['inputs'].permute(1, 2, 0).numpy(), np.asarray(expected))


@pytest.mark.parametrize('mode', ['P', '1', 'I;16'])
def test_forms_of_a_map(tmp_path, mode: str) -> None:
    write_labelled_maps(tmp_path)
    labels = np.eye(32, dtype=np.uint8)
    image = (Image.fromarray(labels.astype(np.uint16)) if mode == 'I;16' else
             Image.fromarray(labels * 255).convert('1') if mode == '1' else
             Image.fromarray(labels, mode='P'))
    image.save(tmp_path / 'annotations' / '0.png')
    assert Image.open(tmp_path / 'annotations' / '0.png').mode == mode
    part, _ = segmentation_datasets(segmentation_split(str(tmp_path)), 32)
    assert np.array_equal(part[0]['data_samples'].gt_map.numpy(), labels)


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def saved(name: str, pixels: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: Image.fromarray(pixels).save(folder / name)


BAD = [
    (lambda folder: (folder / 'annotations').rename(folder / 'maps'),
     'no label maps in .*: it must hold images/ and annotations/'),
    (without('annotations/3.png'), r'3\.png has no label map: there is no .*annotations/3\.png'),
    (saved('annotations/3.png', np.zeros((32, 31), np.uint8)),
     r'annotations/3\.png is 31 x 32 pixels, its image .* 32 x 32'),
    (saved('annotations/3.png', np.zeros((32, 32, 3), np.uint8)), r'has 3 channels \(RGB\)'),
    (lambda folder: (folder / 'annotations/3.png').write_bytes(b'?'),
     r'cannot read the image .*annotations/3\.png: not an image'),
    (without('images/9.png'), '1 of the images in .* can be held out: give two or more in val/'),
]


@pytest.mark.parametrize('spoil, words', BAD)
def test_bad_folders_get_one_line(tmp_path, spoil: Callable[[Path], None], words: str) -> None:
    write_labelled_maps(tmp_path)
    spoil(tmp_path)
    with pytest.raises(InputError, match=words) as error:
        segmentation_split(str(tmp_path))
    assert '\n' not in str(error.value)


def test_no_folder() -> None:
    with pytest.raises(InputError, match='no such folder: /no/such'):
        segmentation_split('/no/such')


def test_a_label_too_high(tmp_path) -> None:
    write_labelled_maps(tmp_path)
    saved('annotations/0.png', np.full((32, 32), 300, np.uint16))(tmp_path)
    part, _ = segmentation_datasets(segmentation_split(str(tmp_path)), 8)
    with pytest.raises(UnreadableImageError, match=r'0\.png has the label 300; the highest is 254'):
        part[0]


@pytest.mark.parametrize('count, train, held_out', [
    (None, 8, 4), (100, 8, 4), (9, 6, 3), (4, 2, 2)])
def test_some_evenly_spread(tmp_path, count: int | None, train: int, held_out: int) -> None:
    write_labelled_maps(tmp_path, 'train', 8)
    write_labelled_maps(tmp_path, 'val', 4)
    dataset = LabelledMaps(str(tmp_path), 8, max_images=count)
    samples = [dataset[i]['data_samples'] for i in range(len(dataset))]
    assert [sample.sample_idx for sample in samples] == [*range(train + held_out)]
    assert [sample.held_out for sample in samples] == [False] * train + [True] * held_out
    paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    assert paths == sorted(set(paths)) and paths[-1] == str(tmp_path / 'images/val/3.png')


def test_unreadable_images_have_no_labels(tmp_path) -> None:
    write_labelled_maps(tmp_path)
    dataset = LabelledMaps(str(tmp_path), 8)
    (tmp_path / 'images' / '0.png').write_bytes(b'?')
    sample = dataset[0]
    assert not sample['inputs'].any() and (sample['data_samples'].gt_map == 255).all()
    assert sample['inputs'].shape == (3, 8, 8) and not sample['data_samples'].held_out
    assert (dataset[1]['data_samples'].gt_map != 255).any()


def test_too_few_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match='max_images of LabelledMaps must be at least 4'):
        LabelledMaps(str(write_labelled_maps(tmp_path)), 8, max_images=3)
