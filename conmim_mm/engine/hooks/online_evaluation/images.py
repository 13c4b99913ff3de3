"""The labelled images that a run is judged on while it trains."""

import logging
import os
from collections.abc import Iterable

import numpy as np
import torch
from mmengine.logging import print_log
from mmpretrain.structures import DataSample
from torch.utils.data import ConcatDataset, Dataset, Subset

from ....datasets.labelled_folder import LabelledSplit, find_labelled_split
from ....distributed.agreement import check_data_agrees
from ....errors import InputError, UnreadableImageError
from ....evaluation import balanced_indices, labelled_datasets

HELD_OUT_SHARE = 3  # at most one image in so many is held out
COMPARED_IMAGES = 10_000
UNREADABLE = -1  # in the place of a label


def labelled_split(data_root: str) -> LabelledSplit:
    """The labels of a folder.

    Args:
        data_root: See :func:`find_labelled_split`.

    Raises:
        InputError: No such folder, or no labels in it.
    """
    root = os.path.expanduser(data_root)
    if not os.path.isdir(root):
        raise InputError(f'no such folder of labelled images: {root}')
    split = find_labelled_split(root)
    if split is None:
        raise InputError(f'no labels in {root}: online evaluation needs CLASS/* in it, two classes '
                         'or more with five images or more, or train/CLASS/* and val/CLASS/* with '
                         'the same classes')
    return split


class EvaluationImages:
    """Images with labels to learn from and others to hold out, the same ones every time.

    Args:
        split: Which there are.
        size: Pixels of the squares that they are cut to.
        max_images: So many at most, of both parts together and of all classes alike.

    Attributes:
        dataset: Those to learn from, then those held out.
        num_train: How many to learn from.

    Raises:
        InputError: Another process sees other images.
    """

    def __init__(self, split: LabelledSplit, size: int, max_images: int) -> None:
        train, held_out = labelled_datasets(split, size)
        for part in (train, held_out):
            check_data_agrees(part)
        num_held_out = min(len(held_out), max(1, max_images // HELD_OUT_SHARE))
        parts = [_subset(train, max_images - num_held_out), _subset(held_out, num_held_out)]
        self.dataset = _Readable(ConcatDataset(parts), size)
        self.num_train = len(parts[0])
        print_log(f'online evaluation: {len(split.classes)} classes, {len(parts[0]):,} images to '
                  f'learn from, {len(parts[1]):,} held out', logger='current')


class _Readable(Dataset):
    """A data set with a black image, labelled ``UNREADABLE``, for each that cannot be read."""

    def __init__(self, dataset: Dataset, size: int) -> None:
        self.dataset = dataset
        self.size = size

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        try:
            return self.dataset[index]
        except UnreadableImageError as error:
            print_log(f'left out of the evaluation: {error}', logger='current',
                      level=logging.WARNING)
            return dict(inputs=torch.zeros(3, self.size, self.size, dtype=torch.uint8),
                        data_samples=DataSample().set_gt_label(UNREADABLE))


def check_apart(data_root: str, training_set: Dataset) -> None:
    """Refuses to judge a model by images that it was pre-trained on.

    Of more than 10,000 training images as many, evenly spread, are looked at; all of them where the
    labelled folder lies below what these have in common.

    Args:
        data_root: The folder of labelled images.
        training_set: What the model is pre-trained on, loaded.

    Raises:
        InputError: A training image lies in the folder.
    """
    if not (len(training_set) and hasattr(training_set, 'get_data_info')):
        return
    root = os.path.realpath(os.path.expanduser(data_root))
    indices = np.unique(np.linspace(0, len(training_set) - 1, COMPARED_IMAGES).astype(int))
    folders = _folders(training_set, indices)
    if _is_below(root, os.path.commonpath(folders)):
        folders = _folders(training_set, range(len(training_set)))
    for folder in sorted(folders):
        if _is_below(folder, root):
            raise InputError(f'{data_root} holds images of the pre-training set ({folder}): give '
                             'a labelled folder that is apart from it, such as val/ beside train/')


def _folders(dataset: Dataset, indices: Iterable[int]) -> set[str]:
    folders = {os.path.dirname(dataset.get_data_info(int(index)).get('img_path', ''))
               for index in indices}
    return {os.path.realpath(folder) for folder in folders}


def _is_below(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


def _subset(dataset: Dataset, count: int) -> Subset:
    labels = torch.tensor([
        dataset.get_data_info(index)['gt_label'] for index in range(len(dataset))])
    return Subset(dataset, balanced_indices(labels, count).tolist())
