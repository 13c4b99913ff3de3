import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from conmim_mm.datasets import ImageFiles, LabelledImages
from conmim_mm.datasets.labelled_folder import (
    UNREADABLE,
    balanced_indices,
    check_apart,
    class_folders,
    class_names,
    evaluation_pipeline,
    find_labelled_split,
    labelled_split,
)
from conmim_mm.errors import InputError

from ..toy import write_noise_images


@pytest.fixture(autouse=True)
def _scope():
    """What a runner sets, so that the file passes by itself, too."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def fill(root: Path, **counts: int) -> Path:
    """Folders below ``root`` by name, with so many images; ``__`` stands for a slash."""
    for name, count in counts.items():
        folder = root / name.replace('__', '/')
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            (folder / f'{i:02d}.jpg').touch()
    return root


def test_classes_of_arrays(tmp_path: Path) -> None:
    """Where there are no pictures; beside these they are not looked at."""
    for name in ('cat', 'dog'):
        (tmp_path / name).mkdir()
        for number in range(6):
            (tmp_path / name / f'{number}.npy').touch()
    assert [label for _, label in samples(labelled_split(str(tmp_path)).train)] == 5 * [0] + 5 * [1]
    fill(tmp_path, dog=2, bird=2)
    (tmp_path / 'features.npz').touch()
    assert class_folders(str(tmp_path)) == ('bird', 'dog')


def samples(arguments: dict) -> list[tuple[str, int]]:
    dataset = ImageFiles(**arguments, with_label=True, serialize_data=False)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [(info['img_path'], info['gt_label']) for info in infos]


@pytest.mark.parametrize('train, held_out', [
    ('train', 'val'), ('train', 'test'), ('training', 'validation'), ('train', 'valid')])
def test_folders_for_both_parts(tmp_path: Path, train: str, held_out: str) -> None:
    fill(tmp_path, **{f'{train}__dog': 3, f'{train}__cat': 2, f'{held_out}__dog': 1,
                      f'{held_out}__cat': 1})
    split = find_labelled_split(str(tmp_path))
    assert split.classes == ('cat', 'dog')
    assert split.train == dict(data_root=str(tmp_path), data_prefix=train)
    assert split.held_out == dict(data_root=str(tmp_path), data_prefix=held_out)
    assert [label for _, label in samples(split.train)] == [0, 0, 1, 1, 1]
    assert [label for _, label in samples(split.held_out)] == [0, 1]


@pytest.mark.parametrize('second, part', [('b', 'val'), ('c', 'test')])
def test_val_comes_before_test_unless_it_has_other_classes(tmp_path, second, part) -> None:
    fill(tmp_path, train__a=1, train__b=1, val__a=1, test__a=1, test__b=1, **{f'val__{second}': 1})
    assert find_labelled_split(str(tmp_path)).held_out['data_prefix'] == part


def test_every_fifth_image_of_a_class_is_held_out(tmp_path: Path) -> None:
    fill(tmp_path, ant=7, bee=10, cow=4)
    split = find_labelled_split(str(tmp_path))
    assert split.classes == ('ant', 'bee', 'cow')
    held_out, train = samples(split.held_out), samples(split.train)
    root = tmp_path
    assert held_out == [(f'{root}/ant/04.jpg', 0), (f'{root}/bee/04.jpg', 1),
                        (f'{root}/bee/09.jpg', 1)]
    assert [label for _, label in train] == [0] * 6 + [1] * 8 + [2] * 4
    everything = samples(dict(data_root=str(root)))
    assert sorted(held_out + train) == everything and len(everything) == 21


@pytest.mark.parametrize('counts', [
    dict(only=20),  # one class
    dict(a=4, b=4),  # nothing to hold out
    dict(a=10, b=0),  # a folder without images
    dict(train__a=5, train__b=5, val__a=5, val__c=5),  # classes that do not agree
    dict(train=5, val=5),  # the names of parts, not of classes
    dict(train=5, test=5),
    dict(training=5, validation=5),
    {},
])
def test_no_labels_to_be_found(tmp_path: Path, counts: dict) -> None:
    assert find_labelled_split(str(fill(tmp_path, **counts))) is None


def test_images_beside_the_class_folders(tmp_path: Path) -> None:
    fill(tmp_path, a=10, b=10)
    (tmp_path / 'README.txt').touch()
    assert find_labelled_split(str(tmp_path)) is not None
    (tmp_path / 'stray.PNG').touch()
    assert find_labelled_split(str(tmp_path)) is None


HARMLESS = {
    'capitals': dict(Train__a=2, Train__b=2, Val__a=1, Val__b=1),
    'nested': dict(train__a__deep=2, train__b__x__y=2, val__a=1, val__b__z=1),
    'an empty class': dict(train__a=2, train__b=2, train__c=0, val__a=1, val__b=1, val__c=0),
    'a class missing in val': dict(train__a=2, train__b=2, train__c=2, val__b=1, val__c=1),
    'one class in val': dict(train__a=2, train__b=2, val__b=1),
    'nested without parts': dict(a__deep=3, a__other=4, b=7),
}


@pytest.mark.parametrize('kind', HARMLESS)
def test_harmless_differences_leave_the_labels_right(tmp_path, kind) -> None:
    split = labelled_split(str(fill(tmp_path, **HARMLESS[kind])))
    for part in (split.train, split.held_out):
        found = samples(part | dict(metainfo=dict(classes=split.classes)))
        assert found
        for path, label in found:
            below = Path(path).relative_to(tmp_path / part.get('data_prefix', ''))
            assert split.classes[label] == below.parts[0]


@pytest.mark.parametrize('counts, reason', [
    (dict(train__cat=2, train__dog=2, val__ant=2, val__cat=2), '/val has classes .*/train: ant'),
    (dict(train__a=2, train__b=0, val__a=2, val__b=2), 'have no image in .*/train: b'),
    (dict(train__a=2, train__b=2, train=1, val__a=1, val__b=1),
     '/train/00.jpg lies beside the class folders'),
    (dict(train__a=2, train__b=2, val__a=1, val__b=1, val=1),
     '/val/00.jpg lies beside the class folders'),
    (dict(a=9, b=9, **{'.': 1}), '/00.jpg lies beside the class folders'),
    (dict(Train=3, Val=3), 'the images lie in .*/Train itself'),
    (dict(train__a=2, train__b=2), 'the classes lie in .*/train, so give that'),
    (dict(photos__train__a=2, photos__train__b=2, photos__val__a=2, photos__val__b=2),
     'the classes lie in .*/photos, so give that'),
    (dict(a=9), 'one folder of images only, a'),
    (dict(a=0, b=0), 'no folder in .* has images'),
    (dict(a=4, b=4), 'no class in .* has the five images'),
])
def test_what_is_wrong_with_a_folder_is_said(tmp_path, counts, reason) -> None:
    with pytest.raises(InputError, match=f'no labels in {tmp_path}: .*{reason}'):
        labelled_split(str(fill(tmp_path, **counts)))


def test_no_such_folder(tmp_path: Path) -> None:
    assert find_labelled_split(str(tmp_path / 'missing')) is None


def test_class_folders(tmp_path: Path) -> None:
    assert class_folders(str(fill(tmp_path, train=1, val=1))) == ()  # parts of a split
    assert class_folders(str(fill(tmp_path, other=1))) == ('other', 'train', 'val')
    assert class_folders(str(tmp_path / 'other')) == ()


def test_labels_below_train_and_val(tmp_path: Path) -> None:
    fill(tmp_path, train__dark=1, train__bright=1, val__dark=1, val__bright=1)
    paths = ['train/dark/0.png', 'val/bright/sub/1.png', 'other/dark/2.png', 'train/3.png']
    assert class_names(str(tmp_path), paths) == ['dark', 'bright', '', '']


LABELS = torch.tensor([0] * 50 + [2] * 3 + [1] * 30 + [3] * 17)


def counts(indices: torch.Tensor) -> list[int]:
    return LABELS[indices].bincount(minlength=4).tolist()


def test_classes_have_equal_shares_as_far_as_they_can() -> None:
    assert counts(balanced_indices(LABELS, 8)) == [2, 2, 2, 2]
    assert counts(balanced_indices(LABELS, 12)) == [3, 3, 3, 3]
    # the class of three has no more to give
    assert counts(balanced_indices(LABELS, 33)) == [10, 10, 3, 10]
    assert counts(balanced_indices(LABELS, 63)) == [22, 21, 3, 17]
    assert balanced_indices(LABELS, 100).tolist() == balanced_indices(LABELS, 999).tolist() == [
        *range(100)]


def test_the_same_images_every_time_and_not_the_first_ones() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    drawn = balanced_indices(LABELS, 20)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(balanced_indices(LABELS, 20), drawn)
    assert len(set(drawn.tolist())) == 20 and drawn.tolist() == sorted(drawn.tolist())
    assert drawn[LABELS[drawn] == 0].tolist() != [0, 1, 2, 3, 4]
    assert not torch.equal(balanced_indices(LABELS, 20, seed=1), drawn)


@pytest.mark.parametrize(('size', 'shape'), [
    (32, (3, 32, 32)), ((16, 32), (3, 16, 32)), ((32, 16), (3, 32, 16))])
def test_the_middle_is_seen_in_the_backbones_size(tmp_path, size, shape) -> None:
    """Height comes first; the picture's left half is dark, its right half light."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, 48:] = 200
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    sample = dict(img_path=str(tmp_path / 'a.png'))
    for transform in evaluation_pipeline(size):
        sample = TRANSFORMS.build(transform)(sample)
    inputs = sample['inputs']
    assert tuple(inputs.shape) == shape
    middle = shape[2] // 2
    assert (inputs[..., :middle - 2] == 0).all() and (inputs[..., middle + 2:] == 200).all()


def test_labelled_images_are_drawn_alike_from_both_parts(labelled: Path) -> None:
    images = LabelledImages(str(labelled), 32)
    # of each class the fifth and the tenth
    assert [held_out(images[i]) for i in range(30)] == [False] * 24 + [True] * 6
    assert images.metainfo == dict(classes=('blue', 'green', 'red'))
    paths = [Path(images.get_data_info(i)['img_path']) for i in (24, 29)]
    assert paths == [labelled / 'blue' / '4.png', labelled / 'red' / '9.png']
    images.draw(9)
    assert [int(images[i]['data_samples'].gt_label) for i in range(9)] == [
        0, 0, 1, 1, 2, 2, 0, 1, 2]
    assert [held_out(images[i]) for i in range(9)] == [False] * 6 + [True] * 3
    assert [images[i]['data_samples'].sample_idx for i in range(9)] == [*range(9)]
    assert len(LabelledImages(str(labelled), 32, max_images=2)) == 2
    with pytest.raises(InputError, match='at least 2: one to learn from'):
        LabelledImages(str(labelled), 32, max_images=1)


def held_out(sample: dict) -> bool:
    return sample['data_samples'].held_out


def test_an_unreadable_image_is_marked(labelled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(labelled, tmp_path / 'val'))
    (folder / 'green' / '4.png').write_bytes(b'no image')
    images = LabelledImages(str(folder), (16, 32))
    labels = [int(images[i]['data_samples'].gt_label) for i in range(30)]
    assert labels == [0] * 8 + [1] * 8 + [2] * 8 + [0, 0, UNREADABLE, 1, 2, 2]
    assert images[26]['inputs'].shape == images[0]['inputs'].shape == (3, 16, 32)
    assert held_out(images[26]) and not images[26]['inputs'].any()


def test_labelled_images_must_be_apart_from_the_training_set(labelled: Path,
                                                             tmp_path: Path) -> None:
    (tmp_path / 'link').symlink_to(labelled)
    for folder, training in ((labelled, labelled), (tmp_path / 'link', labelled),
                             (labelled, labelled / 'red'), (labelled, labelled.parent)):
        with pytest.raises(InputError, match='holds images of the pre-training set'):
            check_apart(str(folder), ImageFiles(data_root=str(training)))


def test_images_of_a_list_beside_them_are_no_matter(labelled, tmp_path) -> None:
    write_noise_images(tmp_path, count=2, side=32)
    (tmp_path / 'val').symlink_to(labelled)
    (tmp_path / 'list.txt').write_text('0.png\n1.png\n')
    check_apart(str(tmp_path / 'val'), ImageFiles(data_root=str(tmp_path), ann_file='list.txt'))


def test_labelled_images_below_the_training_set_are_found(tmp_path, labelled) -> None:
    """However few of very many they are."""
    write_noise_images(tmp_path, count=2, side=32)
    shutil.copytree(labelled, tmp_path / 'few')
    paths = [str(tmp_path / '0.png')] * 30_001
    paths[10_000 + 1] = str(tmp_path / 'few' / 'red' / '0.png')
    training_set = Paths(paths)
    with pytest.raises(InputError, match='few holds images of the pre-training set'):
        check_apart(str(tmp_path / 'few'), training_set)


class Paths:

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=self.paths[index])
