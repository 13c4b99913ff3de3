"""Whether a task's labels fit its model, seen before the first step and not in its middle."""

import logging
import os
from collections.abc import Sequence

import numpy as np
from mmengine.logging import print_log
from torch import nn
from torch.utils.data import Dataset

from ....datasets.class_names import agree_on_classes, names_of_classes, some_of
from ....datasets.image_formats.image_size import known_size
from ....datasets.storage import reads_local_files
from ....errors import InputError
from ....utils.sizes import spread_indices
from .maps import check_maps, ending_beside

CHECKED_IMAGES = 1000
MAX_SHARE = 0.1  # of images whose annotations are of another size


def check_labels(model: nn.Module, dataset: Dataset, classes: Sequence[str] = ()) -> None:
    """Compares the classes of a data set with those that the model's head tells apart.

    Both ways: no label that the model has no place for, and none of its classes that never occurs.
    Of large data sets up to 1000 images are looked at, evenly spread.

    Args:
        model: A model of mmpretrain, mmsegmentation or mmdetection; one without classes fits all.
        dataset: Its data set, loaded; labelled anew where it lacks some of ``classes``.
        classes: Of the training, where this is another data set.

    Raises:
        InputError: Other classes than the training's or another number than the model's, categories
            that the annotation file does not have, a label too high, instances that are all
            ignored, files that are missing or of another size; see also :func:`check_maps`.
    """
    num_classes = num_classes_of(model)
    if num_classes is None:
        return
    agree_on_classes(classes, dataset)
    names = names_of_classes(dataset)
    if names and len(names) != num_classes:
        raise InputError(
            f'the model has {num_classes} classes, the data set {len(names)} ({some_of(names, 3)}):'
            " set num_classes of the model's heads to that, or correct data_root or "
            'metainfo.classes; folders without an image are no classes')
    category_ids = getattr(dataset, 'cat_ids', None)
    if category_ids is not None and len(category_ids) < num_classes:
        raise InputError(f'{dataset.ann_file} has categories for {len(category_ids)} of the '
                         f"{num_classes} classes only; spell metainfo.classes as it does")
    if not hasattr(dataset, 'get_data_info') or not len(dataset):
        return
    infos = spread_infos(dataset, CHECKED_IMAGES)
    if hasattr(dataset, 'reduce_zero_label'):
        seen, looked_at = check_maps(dataset, infos, num_classes)
    elif 'instances' in infos[0]:
        if reads_local_files(dataset):
            _check_instance_images(infos)
        seen, looked_at = _labels_of_instances(infos), len(infos)
    elif 'gt_label' in infos[0]:
        seen, looked_at = _labels_of_images(infos, num_classes), len(infos)
    else:
        return
    _report_unseen([name for i, name in enumerate(names) if i not in seen] if seen else [],
                   num_classes, looked_at, len(dataset))


def num_classes_of(model: nn.Module) -> int | None:
    """How many classes a model's head tells apart; None if that is not its task."""
    roi_head = getattr(model, 'roi_head', None)
    heads = (getattr(model, 'head', None), getattr(model, 'decode_head', None),
             getattr(roi_head, 'bbox_head', None))
    counts = (getattr(head, 'num_classes', None) for head in heads)
    return next((count for count in counts if isinstance(count, int)), None)


def spread_infos(dataset: Dataset, count: int) -> list[dict]:
    """What a data set knows about so many of its samples at most, evenly spread."""
    return [dataset.get_data_info(index) for index in spread_indices(len(dataset), count)]


def _labels_of_images(infos: list[dict], num_classes: int) -> set[int]:
    seen = set()
    for info in infos:
        labels = {int(label) for label in np.atleast_1d(info['gt_label'])}
        if wrong := [label for label in labels if not 0 <= label < num_classes]:
            raise InputError(f'{info["img_path"]} has the label {wrong[0]}, but the model has '
                             f'{num_classes} classes (0 to {num_classes - 1})')
        seen |= labels
    return seen


def _labels_of_instances(infos: list[dict]) -> set[int]:
    instances = [one for info in infos for one in info['instances']]
    seen = {one['bbox_label'] for one in instances if not one['ignore_flag']}
    if instances and not seen:
        raise InputError(f'all {len(instances)} instances of the {len(infos)} images looked at are '
                         'to be ignored (iscrowd is 1, or they have no mask): nothing can be '
                         'learnt or judged by them')
    return seen


def _check_instance_images(infos: list[dict]) -> None:
    other_size = []
    for info in infos:
        path, size = info['img_path'], (info['width'], info['height'])
        if '://' in path:
            continue
        if not os.path.isfile(path):
            ending = ending_beside(path)
            hint = f'there is one ending in {ending}' if ending else 'is data_prefix.img right?'
            raise InputError(f'no such image: {path} (image {info["img_id"]} of the annotations; '
                             f'{hint})')
        if (real := known_size(path) or size) != size:
            other_size.append(f'image {info["img_id"]} ({path}) is {real[0]} x {real[1]} pixels, '
                              f'but {size[0]} x {size[1]} in the annotations')
    if len(other_size) > MAX_SHARE * len(infos):
        raise InputError(f'{other_size[0]}; {len(other_size)} of {len(infos)} differ')
    if other_size:
        print_log(other_size[0], logger='current', level=logging.WARNING)


def _report_unseen(missing: list[str], num_classes: int, looked_at: int, total: int) -> None:
    """Warns of classes without a label, unless it may be that rare ones were not looked at."""
    if missing and (looked_at == total or 2 * len(missing) >= num_classes):
        print_log(f'none of the {looked_at} images looked at (of {total}) has a label of the '
                  f'class{"es" if len(missing) > 1 else ""} {some_of(missing)}: nothing is learnt '
                  'of it, and its IoU, AP or recall says nothing', logger='current',
                  level=logging.WARNING)
