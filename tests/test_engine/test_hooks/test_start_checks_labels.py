"""A task whose labels do not fit its model stops before it has trained."""

import json
import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import mmdet.datasets
import mmseg.datasets
import numpy as np
import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.registry import DefaultScope
from PIL import Image

from conmim_mm.datasets import CocoFile, ImageFiles
from conmim_mm.datasets.class_names import names_of_classes
from conmim_mm.engine.hooks.start_checks.labels import check_labels, num_classes_of
from conmim_mm.errors import InputError


def segmenter(num_classes: int) -> SimpleNamespace:
    return SimpleNamespace(decode_head=SimpleNamespace(num_classes=num_classes))


@pytest.fixture
def warned(monkeypatch) -> list[str]:
    """Warnings of the checks."""
    lines = []
    for name in ('start_checks.labels', 'start_checks.maps'):
        monkeypatch.setattr(f'conmim_mm.engine.hooks.{name}.print_log',
                            lambda text, **_: lines.append(text))
    return lines


@pytest.fixture
def maps(tmp_path: Path):
    """Makes a data set of three images, the last map with the given labels."""

    def make(labels: list[int], num_classes: int, **settings) -> mmseg.datasets.BaseSegDataset:
        for folder in ('images', 'maps'):
            (tmp_path / folder).mkdir(exist_ok=True)
        for name, values in dict(a=[0], b=[0], c=labels).items():
            pixels = np.array([values], np.uint8)
            Image.fromarray(np.stack([pixels] * 3, axis=-1)).save(tmp_path / f'images/{name}.jpg')
            Image.fromarray(pixels).save(tmp_path / f'maps/{name}.png')
        with DefaultScope.overwrite_default_scope('mmseg'):
            return mmseg.datasets.BaseSegDataset(
                data_root=str(tmp_path), data_prefix=dict(img_path='images', seg_map_path='maps'),
                metainfo=dict(classes=[f'class {i}' for i in range(num_classes)]), **settings)

    return make


def test_which_models_have_classes() -> None:
    assert num_classes_of(segmenter(3)) == 3
    assert num_classes_of(SimpleNamespace(head=SimpleNamespace(num_classes=4))) == 4
    detector = SimpleNamespace(roi_head=SimpleNamespace(bbox_head=SimpleNamespace(num_classes=5)))
    assert num_classes_of(detector) == 5
    assert num_classes_of(SimpleNamespace(head=SimpleNamespace())) is None  # pre-training


def test_maps_that_fit(maps) -> None:
    check_labels(segmenter(3), maps([1, 2, 255], 3))
    check_labels(segmenter(3), maps([0, 3, 255], 3, reduce_zero_label=True))


@pytest.mark.parametrize('labels, settings, label', [
    ([1, 3], {}, 3), ([1, 4], dict(reduce_zero_label=True), 3)])
def test_label_too_high(maps, labels: list[int], settings: dict, label: int) -> None:
    with pytest.raises(InputError, match=rf'c\.png has the label {label}, .*\(0 to 2, 255'):
        check_labels(segmenter(3), maps(labels, 3, **settings))


def test_another_number_of_classes(maps) -> None:
    with pytest.raises(InputError, match=r'model has 4 classes, the data set 3 \(class 0, class 1'):
        check_labels(segmenter(4), maps([0], 3))


@pytest.mark.parametrize('labels, settings, words', [
    ([0, 255], {}, r'one class, class 0, and else pixels without label \(a value of 255\)'),
    ([255, 255], dict(reduce_zero_label=True), 'no class and else pixels .*0 and 255.*=False')])
def test_maps_of_one_class_and_what_counts_as_none(maps, labels, settings, words) -> None:
    """Masks of 0 and 255, as many tools write them; judged by them anything is perfect."""
    with pytest.raises(InputError, match=words):
        check_labels(segmenter(2), maps(labels, 2, **settings))


@pytest.mark.parametrize('labels, settings, missing', [
    ([0, 1, 2], {}, None), ([0, 1], {}, 'class 2'), ([1, 255], {}, 'class 2'),
    ([0, 0], {}, 'es class 1, class 2'), ([0, 3], dict(reduce_zero_label=True), 'es class 0')])
def test_a_class_that_occurs_in_no_map(maps, warned, labels, settings, missing) -> None:
    check_labels(segmenter(3), maps(labels, 3, **settings))
    assert [line for line in warned if missing and missing in line] == warned
    assert len(warned) == bool(missing)


def test_classes_are_looked_for_in_more_maps(maps, warned, tmp_path: Path) -> None:
    dataset = maps([0], 3)
    for i in range(400):
        for kind, ending in (('images', 'jpg'), ('maps', 'png')):
            shutil.copy(tmp_path / f'{kind}/a.{ending}', tmp_path / f'{kind}/{i:03d}.{ending}')
    for i, label in ((4, 1), (200, 2)):
        Image.fromarray(np.array([[label]], np.uint8)).save(tmp_path / f'maps/{i:03d}.png')
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = type(dataset)(
            data_root=str(tmp_path), metainfo=dict(classes=['a', 'b', 'c']),
            data_prefix=dict(img_path='images', seg_map_path='maps'))
    check_labels(segmenter(3), dataset)
    assert warned == []


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize('change, words', [
    (lambda path: Image.new('RGB', (1, 1)).save(path), r'b\.png has 3 channels \(RGB\)'),
    (lambda path: Image.new('LA', (1, 1)).save(path), r'b\.png has 2 channels'),
    (lambda path: Image.new('L', (2, 3)).save(path), r'b\.png is 2 x 3 pixels, its image .*1 x 1'),
    (lambda path: path.write_bytes(b'no image'), r'cannot read the image .*b\.png'),
    (lambda path: path.write_bytes(b'%!PS'), r'cannot read the image .*b\.png'),
    (lambda path: make_pipe(path.parents[1] / 'images' / 'b.jpg'),
     r'cannot read the image .*b\.jpg: not a regular file'),
    (lambda path: path.rename(path.with_suffix('.tif')), r'b\.png \(there is one ending in \.tif'),
])
def test_maps_of_another_form(maps, tmp_path: Path, change, words) -> None:
    dataset = maps([1], 2)
    change(tmp_path / 'maps' / 'b.png')
    with pytest.raises(InputError, match=words):
        check_labels(segmenter(2), dataset)


def test_images_of_other_endings_are_counted(maps, tmp_path: Path, warned) -> None:
    dataset = maps([1], 2)
    for name in ('d.png', 'e.png', 'f.jpeg'):
        shutil.copy(tmp_path / 'images' / 'a.jpg', tmp_path / 'images' / name)
    check_labels(segmenter(2), dataset)
    assert len(warned) == 1 and '2 of .png, 1 of .jpeg, as img_suffix is .jpg' in warned[0]


def test_images_that_only_another_loader_reads_are_not_measured(maps, tmp_path: Path) -> None:
    dataset = maps([1], 2)
    np.save(tmp_path / 'array.npy', np.zeros((1, 1, 5), np.uint16))
    (tmp_path / 'array.npy').rename(tmp_path / 'images' / 'b.jpg')
    check_labels(segmenter(2), dataset)
    (tmp_path / 'images' / 'b.jpg').unlink()
    with pytest.raises(InputError, match=r'no such image: .*b\.jpg'):
        check_labels(segmenter(2), dataset)


ELSEWHERE = dict(backend='lmdb', db_path='nowhere')


@pytest.mark.parametrize('settings', [
    dict(backend_args=ELSEWHERE),
    dict(pipeline=[dict(type='LoadImageFromFile', backend_args=ELSEWHERE)]),
    dict(data_prefix=dict(img_path='s3://images', seg_map_path='s3://maps'))])
def test_maps_in_another_storage_are_not_looked_for(maps, tmp_path: Path, settings) -> None:
    (tmp_path / 'list.txt').write_text('a\n')
    maps([0], 2)
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = mmseg.datasets.BaseSegDataset(
            **dict(data_prefix=dict(img_path='none', seg_map_path='none')) | settings,
            ann_file=str(tmp_path / 'list.txt'), metainfo=dict(classes=['a', 'b']), lazy_init=True)
        dataset.backend_args, args = None, dataset.backend_args  # of the list
        dataset.full_init()
        dataset.backend_args = args
    check_labels(segmenter(2), dataset)


def test_missing_map(maps, tmp_path: Path) -> None:
    dataset = maps([0], 2)
    (tmp_path / 'maps' / 'b.png').unlink()
    with pytest.raises(InputError, match=r'no such label map: .*b\.png'):
        check_labels(segmenter(2), dataset)


def test_categories_that_the_annotations_do_not_have(tmp_path: Path) -> None:
    (tmp_path / 'file.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='a.jpg', height=8, width=8)], annotations=[],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')])))
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = mmdet.datasets.CocoDataset(
            data_root=str(tmp_path), ann_file='file.json', data_prefix=dict(img=''),
            metainfo=dict(classes=('cat', 'hound')))
    model = SimpleNamespace(roi_head=SimpleNamespace(bbox_head=SimpleNamespace(num_classes=2)))
    with pytest.raises(InputError, match=r'file\.json has categories for 1 of the 2 classes only'):
        check_labels(model, dataset)


def detector(num_classes: int) -> SimpleNamespace:
    return SimpleNamespace(roi_head=SimpleNamespace(
        bbox_head=SimpleNamespace(num_classes=num_classes)))


@pytest.fixture
def instances(tmp_path: Path):
    """Makes a data set of two images, one instance each, with changes to the file."""

    def make(file: dict | None = None, **instance: object) -> CocoFile:
        for i in (1, 2):
            Image.new('RGB', (8, 9)).save(tmp_path / f'{i}.png')
        (tmp_path / 'file.json').write_text(json.dumps(dict(
            images=[dict(id=i, file_name=f'{i}.png', height=9, width=8) for i in (1, 2)],
            annotations=[dict(id=i, image_id=i, category_id=i, bbox=[1, 1, 5, 5]) | instance
                         for i in (1, 2)],
            categories=[dict(id=1, name='cat'), dict(id=2, name='dog')]) | (file or {})))
        return CocoFile(ann_file=str(tmp_path / 'file.json'),
                        data_prefix=dict(img=str(tmp_path)))

    return make


def test_instances_that_fit(instances, warned) -> None:
    check_labels(detector(2), instances())
    assert warned == []


def test_instances_that_are_all_ignored(instances) -> None:
    with pytest.raises(InputError, match='all 2 instances .* are to be ignored .iscrowd is 1'):
        check_labels(detector(2), instances(iscrowd=1))


def test_a_class_without_an_instance(instances, warned) -> None:
    check_labels(detector(2), instances(category_id=2))
    assert len(warned) == 1 and 'a label of the class cat' in warned[0]


@pytest.mark.parametrize('file, words', [
    (dict(images=[dict(id=1, file_name='1.jpg', height=9, width=8)]),
     r'no such image: .*1\.jpg .* ending in \.png'),
    (dict(images=[dict(id=1, file_name='1.png', height=8, width=9)]),
     r'image 1 .* is 8 x 9 pixels, but 9 x 8 in the annotations')])
def test_images_that_do_not_fit_the_annotations(instances, file, words) -> None:
    with pytest.raises(InputError, match=words):
        check_labels(detector(2), instances(file | dict(annotations=[])))


def test_instance_images_that_only_another_loader_reads(instances, tmp_path: Path) -> None:
    dataset = instances()
    (tmp_path / '1.png').write_bytes(b'of no format that Pillow knows')
    check_labels(detector(2), dataset)


@pytest.mark.parametrize('wrap', [lambda dataset: dataset,
                                  lambda dataset: ConcatDataset([dataset]),
                                  lambda dataset: RepeatDataset(dataset, 2)])
@pytest.mark.parametrize('backend, fails', [('petrel', False), ('local', True)])
def test_images_in_another_storage_are_not_looked_for(instances, tmp_path, wrap, backend,
                                                      fails) -> None:
    dataset = instances()
    dataset.pipeline.transforms.append(SimpleNamespace(backend_args=dict(backend=backend)))
    (tmp_path / '1.png').unlink()
    with pytest.raises(InputError, match='no such image') if fails else nullcontext():
        check_labels(detector(2), wrap(dataset))


def test_classes_may_differ_in_case(instances, monkeypatch) -> None:
    lines = []
    monkeypatch.setattr('conmim_mm.datasets.class_names.print_log',
                        lambda text, **_: lines.append(text))
    check_labels(detector(2), instances(), ['Cat', 'DOG'])
    assert len(lines) == 1 and 'cat, dog; Cat, DOG' in lines[0]
    for other in (['Dog', 'Cat'], ['Cat', 'Cow']):
        with pytest.raises(InputError, match='different classes'):
            check_labels(detector(2), instances(), other)


def classifier(num_classes: int) -> SimpleNamespace:
    return SimpleNamespace(head=SimpleNamespace(num_classes=num_classes))


@pytest.fixture
def folders(tmp_path: Path):
    """Makes a data set of an image in each of some folders."""

    def make(part: str, *names: str) -> ImageFiles:
        for name in names:
            (tmp_path / part / name).mkdir(parents=True)
            Image.new('RGB', (4, 4)).save(tmp_path / part / name / '0.png')
        return ImageFiles(data_root=str(tmp_path), data_prefix=part, with_label=True)

    return make


def labels_by_name(dataset: ImageFiles) -> dict[str, int]:
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    return {Path(info['img_path']).parent.name: info['gt_label'] for info in infos}


def test_folders_are_labelled_by_the_names_of_the_training(folders) -> None:
    training, other = folders('train', 'ant', 'cat', 'dog'), folders('val', 'cat', 'dog')
    assert labels_by_name(other) == dict(cat=0, dog=1)
    check_labels(classifier(3), other, names_of_classes(training))
    assert labels_by_name(other) == dict(cat=1, dog=2)
    assert names_of_classes(other) == ['ant', 'cat', 'dog']


def test_folders_of_other_names_are_refused(folders) -> None:
    training, other = folders('train', 'cat', 'dog', 'zebra'), folders('val', 'ant', 'cat', 'dog')
    with pytest.raises(InputError, match=r'different classes: .*/val has ant, which the training'):
        check_labels(classifier(3), other, names_of_classes(training))


def test_a_label_that_the_model_has_no_place_for(folders, tmp_path: Path) -> None:
    folders('train', 'a')
    (tmp_path / 'list.txt').write_text('train/a/0.png 2\n')
    listed = ImageFiles(data_root=str(tmp_path), ann_file='list.txt', with_label=True)
    check_labels(classifier(3), listed)
    with pytest.raises(InputError, match=r'0\.png has the label 2, but the model has 2 classes'):
        check_labels(classifier(2), listed)
