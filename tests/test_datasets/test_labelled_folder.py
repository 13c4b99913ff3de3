from pathlib import Path

import pytest

from conmim_mm.datasets import ImageFiles
from conmim_mm.datasets.labelled_folder import class_folders, find_labelled_split


def fill(root: Path, **counts: int) -> Path:
    """Folders below ``root`` by name, with so many images; ``__`` stands for a slash."""
    for name, count in counts.items():
        folder = root / name.replace('__', '/')
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            (folder / f'{i:02d}.jpg').touch()
    return root


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


def test_val_comes_before_test(tmp_path: Path) -> None:
    fill(tmp_path, train__a=1, train__b=1, val__a=1, val__b=1, test__a=1, test__b=1)
    assert find_labelled_split(str(tmp_path)).held_out['data_prefix'] == 'val'


def test_test_is_taken_where_val_has_other_classes(tmp_path: Path) -> None:
    fill(tmp_path, train__a=1, train__b=1, val__a=1, val__c=1, test__a=1, test__b=1)
    assert find_labelled_split(str(tmp_path)).held_out['data_prefix'] == 'test'


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


def test_same_split_again(tmp_path: Path) -> None:
    fill(tmp_path, ant=7, bee=10)
    assert find_labelled_split(str(tmp_path)) == find_labelled_split(str(tmp_path))


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


def test_no_such_folder(tmp_path: Path) -> None:
    assert find_labelled_split(str(tmp_path / 'missing')) is None


def test_class_folders(tmp_path: Path) -> None:
    fill(tmp_path, b=1, a=1, c=1)
    assert class_folders(str(tmp_path)) == ('a', 'b', 'c')
    assert class_folders(str(tmp_path / 'a')) == ()
