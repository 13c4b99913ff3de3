"""COCO files as other tools write them give mmdetection's samples, or one line before a step."""

import json
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from PIL import Image

from conmim_mm.datasets import CocoFile
from conmim_mm.engine.hooks.start_checks.coco_metrics import complete_coco_metrics
from conmim_mm.errors import InputError

CLASSES = ('cat', 'dog')
SIZE = dict(width=40, height=30)


def content() -> dict:
    """Two images with two instances each."""
    corners = dict(zip(range(1, 5), [(2, 3), (20, 3), (2, 12), (25, 10)], strict=True))
    return dict(
        images=[dict(id=i, file_name=f'{i}.png', **SIZE) for i in (1, 2)],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
        annotations=[
            dict(id=i, image_id=(i + 1) // 2, category_id=2 - i % 2, bbox=[x, y, 10, 12], area=120,
                 iscrowd=0, segmentation=[[x, y, x + 10, y, x + 10, y + 12, x, y + 12]])
            for i, (x, y) in corners.items()])


@pytest.fixture
def load(tmp_path) -> Callable[..., CocoFile]:
    """Writes a file, with images, and reads it as a config with masks does."""

    def write_and_read(data: object, kind: str = 'CocoFile', **settings) -> CocoFile:
        for i in (1, 2):
            Image.new('RGB', (SIZE['width'], SIZE['height'])).save(tmp_path / f'{i}.png')
        text = data if isinstance(data, str) else json.dumps(data)
        (tmp_path / 'file.json').write_text(text)
        masks = dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True)
        settings = dict(metainfo=dict(classes=CLASSES), pipeline=[masks]) | settings
        pytest.importorskip('mmcv._ext', reason='mmdet needs the compiled ops of mmcv')
        import mmdet.datasets

        with DefaultScope.overwrite_default_scope('mmdet'):
            return dict(CocoFile=CocoFile, CocoDataset=mmdet.datasets.CocoDataset)[kind](
                data_root=str(tmp_path), ann_file='file.json', data_prefix=dict(img=''),
                **settings)

    return write_and_read


def samples(dataset) -> list[dict]:
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [{key: info[key] for key in ('img_id', 'img_path', 'width', 'height', 'instances')}
            for info in infos]


def without(part: str, *keys: str) -> dict:
    data = content()
    for entry in data[part]:
        for key in keys:
            del entry[key]
    return data


def changed(part: str, number: int | None = None, **values: object) -> dict:
    """With other values in one entry, or in all."""
    data = content()
    for entry in data[part] if number is None else [data[part][number]]:
        entry.update(values)
    return data


@pytest.mark.parametrize('filter_cfg', [None, dict(filter_empty_gt=True, min_size=25)])
def test_samples_are_mmdetections(load, filter_cfg) -> None:
    data = content()
    data['annotations'][3].update(iscrowd=1)
    data['images'] += [dict(id=3, file_name='1.png', **SIZE),
                       dict(id=4, file_name='1.png', width=20, height=60)]
    data['annotations'].append(dict(data['annotations'][0], id=9, image_id=4))
    ours, theirs = (samples(load(data, kind, filter_cfg=filter_cfg)) for kind in (
        'CocoFile', 'CocoDataset'))
    assert ours == theirs and len(ours) == (2 if filter_cfg else 4)


def test_mmdetections_other_settings(load) -> None:
    settings = dict(backend_args=None, proposal_file=None, return_classes=True)
    ours, theirs = (load(content(), kind, **settings).get_data_info(0)
                    for kind in ('CocoFile', 'CocoDataset'))
    assert {key: theirs[key] for key in ours} == ours and ours['text'] == CLASSES
    with pytest.raises(InputError, match='reads no proposal_file'):
        load(content(), proposal_file='some.pkl')


FILLED_IN = {
    'no area': without('annotations', 'area'),
    'areas of 0': changed('annotations', area=0),
    'area is text': changed('annotations', area='120'),
    'no iscrowd': without('annotations', 'iscrowd'),
    'iscrowd is null': changed('annotations', iscrowd=None),
    'no bbox': without('annotations', 'bbox'),
    'no width': without('images', 'width', 'height'),
    'a polygon by itself': content() | dict(annotations=[
        entry | dict(segmentation=entry['segmentation'][0])
        for entry in content()['annotations']]),
    'a polygon of two points': content() | dict(annotations=[
        entry | dict(segmentation=[*entry['segmentation'], [1, 1, 2, 2]])
        for entry in content()['annotations']]),
    'other order': content() | dict(categories=content()['categories'][::-1]),
    'one category more': content() | dict(
        categories=[dict(id=7, name='ant'), *content()['categories']]),
}


@pytest.mark.parametrize('kind', FILLED_IN)
def test_what_is_left_out_is_filled_in(load, kind) -> None:
    assert samples(load(FILLED_IN[kind])) == samples(load(content()))


@pytest.mark.parametrize('data, words', [
    ('{', 'is not JSON'),
    ([], 'not in COCO.s format'),
    (dict(images=[]), 'not in COCO.s format'),
    (without('annotations', 'id'), 'number 0, counted from 0.* has no id'),
    (without('annotations', 'image_id'), 'annotations: the entry of id 1 .* has no image_id'),
    (without('images', 'file_name'), 'images: the entry of id 1 .* has no file_name'),
    (changed('annotations', id=5), 'annotations: the id 5 stands there 4 times'),
    (changed('annotations', 2, category_id=9), 'annotation 3 has a category that the file'),
    (changed('categories', name='cat'), 'several categories of the name cat'),
    (changed('categories', 1, name='hound'), 'has no category dog; it has cat, hound'),
    (without('annotations', 'segmentation'), r'annotation 1 \(and 3 others\) has no mask'),
    (changed('annotations', 1, segmentation=[]), 'annotation 2 has no mask'),
    (changed('annotations', 1, segmentation=[[1, 1, 2, 2]]), 'annotation 2 has no mask'),
    (changed('annotations', 1, segmentation=dict(size=[4, 4])), 'annotation 2 has no mask'),
    (changed('annotations', 3, bbox=[1, 2, 3], segmentation=[]), 'annotation 4 has no bbox'),
    (changed('annotations', 3, bbox=[0, 0, float('nan'), 4]), 'annotation 4 has no bbox'),
    (changed('annotations', 2, bbox=[90, 3, 10, 12]), 'annotation 3 lies outside of its image'),
    (changed('annotations', 2, bbox=[.1, .1, .5, .5]), 'annotation 3 is thinner than a pixel'),
    (changed('annotations', 2, image_id='2'), 'annotation 3 belongs to an image that the file'),
])
def test_one_line_says_what_is_wrong(load, tmp_path, data, words) -> None:
    with pytest.raises(InputError, match=rf'^{tmp_path}/file\.json.*{words}') as error:
        load(data)
    assert '\n' not in str(error.value)


def test_a_few_that_cannot_be_used_are_left_out(load, monkeypatch) -> None:
    lines = []
    monkeypatch.setattr('conmim_mm.datasets.coco_file.print_log',
                        lambda text, **_: lines.append(text))
    data = content()
    data['annotations'] += [dict(data['annotations'][0], id=i) for i in range(10, 40)]
    data['annotations'][1].update(bbox=[90, 3, 10, 12])
    data['annotations'][2].update(segmentation=None)
    data['annotations'][3].update(bbox=[35, 3, 10, 12])
    data['annotations'].append(dict(id=40, image_id=1, category_id=9))
    first, second = samples(load(data))
    assert len(first['instances']) == 31
    assert [one['ignore_flag'] for one in second['instances']] == [1, 0]
    assert [line.split('annotation ')[1][:12] for line in lines] == [
        '2 lies outsi', '3 has no mas', '4 reaches ou', '40 has a cat']


def test_a_file_to_judge_by_may_lack_a_category(load) -> None:
    data = changed('annotations', category_id=2)
    data['categories'] = data['categories'][1:]
    with pytest.raises(InputError, match='has no category cat; it has dog'):
        load(data)
    labels = [one['bbox_label'] for info in samples(load(data, test_mode=True))
              for one in info['instances']]
    assert labels == [1] * 4


METRICS_FILES = {
    'whole': content(),
    'ids from 0': content() | dict(annotations=[
        entry | dict(id=entry['id'] - 1) for entry in content()['annotations']]),
    'one category': changed('annotations', category_id=2) | dict(
        categories=content()['categories'][1:]),
} | FILLED_IN


@pytest.mark.parametrize('kind', [kind for kind in METRICS_FILES if kind != 'no bbox'])
def test_right_predictions_have_a_precision_of_one(load, tmp_path, kind) -> None:
    """Of boxes and of masks; by mmdetection's metric alone it would be less, or an error."""
    dataset = load(METRICS_FILES[kind], test_mode=True)
    from mmdet.evaluation import CocoMetric

    metric = CocoMetric(ann_file=str(tmp_path / 'file.json'), metric=['bbox', 'segm'])
    metric.dataset_meta = dataset.metainfo
    complete_coco_metrics(Evaluator(metric), dataset)
    for info in samples(dataset):
        boxes = np.array([one['bbox'] for one in info['instances']], np.float32)
        masks = np.zeros((len(boxes), SIZE['height'], SIZE['width']), np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
            mask[y1:y2, x1:x2] = 1
        found = dict(bboxes=boxes, scores=np.ones(len(boxes), np.float32), masks=masks,
                     labels=np.array([one['bbox_label'] for one in info['instances']]))
        metric.process({}, [dict(img_id=info['img_id'], ori_shape=(30, 40),
                                 pred_instances={key: torch.from_numpy(value)
                                                 for key, value in found.items()})])
    scores = metric.evaluate(2)
    assert scores['coco/bbox_mAP'] == scores['coco/segm_mAP'] == 1


def test_metrics_without_boxes_stay_as_they_are(load) -> None:
    """As mmdetection's CocoPanopticMetric, which has no ``metrics``."""
    api = SimpleNamespace(dataset=changed('annotations', id=0))
    complete_coco_metrics(SimpleNamespace(metrics=[SimpleNamespace(_coco_api=api)]),
                          load(content()))
    assert api.dataset == changed('annotations', id=0)


def test_a_metric_of_other_images_is_refused(load, tmp_path) -> None:
    load(content())
    from mmdet.evaluation import CocoMetric

    metric = CocoMetric(ann_file=str(tmp_path / 'file.json'))
    with pytest.raises(InputError, match='the metric knows nothing of image 8 '):
        complete_coco_metrics(Evaluator(metric), load(
            changed('images', 0, id=8) | dict(annotations=[])))
