"""What mmdetection's metrics need of an annotation file, filled in before the first step."""

from mmengine.evaluator import Evaluator
from torch.utils.data import Dataset

from ....datasets.coco_annotations import complete_annotation
from ....datasets.coco_file import CocoFile
from ....errors import InputError


def complete_coco_metrics(evaluator: Evaluator, dataset: Dataset) -> None:
    """Completes the annotations that COCO's metrics have read for themselves, in place.

    They would end with a KeyError after the whole training, and count an instance of id 0 as one
    that was never found.

    Args:
        evaluator: Of a validation or test; other metrics stay as they are.
        dataset: What it judges by, loaded.

    Raises:
        InputError: A metric has read the annotations of other images.
    """
    for metric in getattr(evaluator, 'metrics', ()):
        api = getattr(metric, '_coco_api', None)
        if api is None or not hasattr(metric, 'metrics'):  # of panoptic segmentation
            continue
        entries = api.dataset.setdefault('annotations', [])
        for entry in entries:
            complete_annotation(entry, 'segm' in metric.metrics)
        if any(entry['id'] == 0 for entry in entries):
            for entry in entries:
                entry['id'] += 1
        for info in map(dataset.get_data_info, range(len(dataset))):
            if info['img_id'] not in api.imgs:
                raise InputError(f'the metric knows nothing of image {info["img_id"]} '
                                 f'({info["img_path"]}): give the evaluator the ann_file of its '
                                 'data set')
            api.imgs[info['img_id']].update(width=info['width'], height=info['height'])
        if isinstance(dataset, CocoFile):
            _order_categories(api.dataset['categories'], dataset.metainfo['classes'])
        api.createIndex()


def _order_categories(categories: list[dict], classes: list[str]) -> None:
    """Puts them in the order of the labels; one that the file lacks gets an id of its own."""
    names = [category['name'] for category in categories]
    for name in classes:
        if name not in names:
            categories.append(dict(id=max(one['id'] for one in categories) + 1, name=name))
    categories.sort(key=lambda one: classes.index(one['name']) if one['name'] in classes
                    else len(classes))
