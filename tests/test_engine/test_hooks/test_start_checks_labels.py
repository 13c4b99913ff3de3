"""A task whose labels do not fit its model stops before it has trained."""

import json
from pathlib import Path
from types import SimpleNamespace

import mmdet.datasets
import mmseg.datasets
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from conmim_mm.engine.hooks.start_checks.labels import check_labels, num_classes_of
from conmim_mm.errors import InputError


def segmenter(num_classes: int) -> SimpleNamespace:
    return SimpleNamespace(decode_head=SimpleNamespace(num_classes=num_classes))


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
