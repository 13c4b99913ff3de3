"""Whether a task's labels fit its model, seen before the first step and not in its middle."""

import os

import numpy as np
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from ....datasets.transforms.loading import FORMATS
from ....errors import InputError

CHECKED_FILES = 1000
CHECKED_MAPS = 16


def check_labels(model: nn.Module, dataset: Dataset) -> None:
    """Compares the classes of a data set with those that the model's head tells apart.

    Of semantic maps, up to 1000 must exist and the labels of 16 are read, evenly spread over the
    data set.

    Args:
        model: A model of mmpretrain, mmsegmentation or mmdetection; one without classes fits all.
        dataset: Its data set, loaded.

    Raises:
        InputError: Another number of classes, categories that the annotation file does not have, a
            map that does not exist, or one with a label too high.
    """
    num_classes = num_classes_of(model)
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    if num_classes is None or not classes:
        return
    if len(classes) != num_classes:
        raise InputError(
            f'the model has {num_classes} classes, the data set {len(classes)} '
            f'({", ".join(classes[:3])}{", ..." if len(classes) > 3 else ""}): set num_classes of '
            "the model's heads to that, or correct data_root or metainfo.classes")
    category_ids = getattr(dataset, 'cat_ids', None)
    if category_ids is not None and len(category_ids) < num_classes:
        raise InputError(f'{dataset.ann_file} has categories for {len(category_ids)} of the '
                         f"{num_classes} classes only; spell metainfo.classes as it does")
    if hasattr(dataset, 'reduce_zero_label') and len(dataset):
        _check_maps(dataset, num_classes)


def num_classes_of(model: nn.Module) -> int | None:
    """How many classes a model's head tells apart; None if that is not its task."""
    roi_head = getattr(model, 'roi_head', None)
    heads = (getattr(model, 'head', None), getattr(model, 'decode_head', None),
             getattr(roi_head, 'bbox_head', None))
    counts = (getattr(head, 'num_classes', None) for head in heads)
    return next((count for count in counts if isinstance(count, int)), None)


def _check_maps(dataset: Dataset, num_classes: int) -> None:
    for path in _spread_paths(dataset, CHECKED_FILES):
        if not os.path.isfile(path):
            raise InputError(f'no such label map: {path} (is data_prefix.seg_map_path right?)')
    for path in _spread_paths(dataset, CHECKED_MAPS):
        labels = np.unique(np.asarray(Image.open(path, formats=FORMATS))).astype(int)
        # As mmseg's LoadAnnotations: 0 becomes 255, "no label", and the others move down.
        labels = labels[labels != dataset.ignore_index]
        if dataset.reduce_zero_label:
            labels = labels[labels != 0] - 1
        if len(labels) and labels[-1] >= num_classes:
            raise InputError(
                f'{path} has the label {labels[-1]}, but the model has {num_classes} classes '
                f'(0 to {num_classes - 1}, {dataset.ignore_index} for no label)')


def _spread_paths(dataset: Dataset, count: int) -> list[str]:
    indices = np.unique(np.linspace(0, len(dataset) - 1, count).astype(int))
    infos = (dataset.get_data_info(int(index)) for index in indices)
    # A map of other labels is the data set's own way, which only its pipeline follows.
    return [info['seg_map_path'] for info in infos
            if 'seg_map_path' in info and not info.get('label_map')]
