"""Finds labels in a folder of images, for evaluating what was learnt from it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmpretrain.registry import DATASETS
from torch.utils.data import Dataset

from ..utils.sizes import to_size
from .image_files import ImageFiles, is_image

TRAIN_NAMES = ('train', 'training')
HELD_OUT_NAMES = ('val', 'valid', 'validation', 'test')
HELD_OUT_SHARE = 5  # without a folder of its own, every fifth image of a class is held out


@dataclass(frozen=True)
class LabelledSplit:
    """Which images of a folder to learn from and which to hold out.

    Attributes:
        classes: Names of the classes.
        train: Arguments of :class:`ImageFiles` for the one part.
        held_out: Likewise for the other.
    """

    classes: tuple[str, ...]
    train: dict
    held_out: dict


def find_labelled_split(root: str) -> LabelledSplit | None:
    """Reads labels from folder names.

    Args:
        root: Either holds ``train/CLASS/*`` and ``val/CLASS/*`` (also ``test`` and the like), or
            ``CLASS/*``, of which every fifth image is then held out.

    Returns:
        None where there are fewer than two such classes, or images beside the class folders.
    """
    for train in TRAIN_NAMES:
        for held_out in HELD_OUT_NAMES:
            classes = class_folders(os.path.join(root, train))
            if classes and classes == class_folders(os.path.join(root, held_out)):
                parts = (dict(data_root=root, data_prefix=name) for name in (train, held_out))
                return LabelledSplit(classes, *parts)

    classes = class_folders(root)
    if set(classes) <= {*TRAIN_NAMES, *HELD_OUT_NAMES}:
        return None  # no classes, or a split whose parts have none
    labelled = ImageFiles(data_root=root, with_label=True, serialize_data=False)
    labels = [info['gt_label'] for info in labelled.data_list]
    seen: dict[int, int] = {}
    indices: tuple[list[int], list[int]] = [], []
    for index, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        indices[seen[label] % HELD_OUT_SHARE == 0].append(index)
    if not indices[1]:
        return None
    return LabelledSplit(classes, *(dict(data_root=root, indices=part) for part in indices))


def held_out_beside(root: str) -> tuple[str, str] | None:
    """The training part of a folder that also has one to hold out, and the latter; by names only.

    Args:
        root: Holds, say, ``train/`` and ``val/``, with or without classes in them.
    """
    folders = [{name for name in names if os.path.isdir(os.path.join(root, name))}
               for names in (TRAIN_NAMES, HELD_OUT_NAMES)]
    if not all(folders):
        return None
    return sorted(folders[0])[0], sorted(folders[1])[0]


def class_folders(folder: str) -> tuple[str, ...]:
    """Names of the sub-folders if they look like classes, otherwise empty.

    Classes are two or more folders, all with images in them, and no images beside them. Hidden
    folders do not count.
    """
    if not os.path.isdir(folder):
        return ()
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    if any(is_image(entry.name) for entry in entries if entry.is_file()):
        return ()
    names = tuple(
        entry.name for entry in entries if entry.is_dir() and not entry.name.startswith('.'))
    has_images = all(
        any(is_image(name) for name in os.listdir(os.path.join(folder, sub))) for sub in names)
    return names if len(names) >= 2 and has_images else ()


def labelled_datasets(split: LabelledSplit, size: int) -> tuple[Dataset, Dataset]:
    """The images with labels to learn from, and those held out.

    Args:
        split: As :func:`find_labelled_split` finds it.
        size: Pixels: the short edge is resized to it (bicubic), the middle square cut out.

    Returns:
        Two :class:`ImageFiles` with samples of ``inputs``
        ``(3, size, size)`` uint8 and ``data_samples`` with a ``gt_label``, as
        :func:`extract_features` takes them.
    """
    pipeline = evaluation_pipeline(size)
    train, held_out = (
        DATASETS.build(
            dict(type='ImageFiles', with_label=True, metainfo=dict(classes=split.classes),
                 pipeline=pipeline, **part)) for part in (split.train, split.held_out))
    return train, held_out


def evaluation_pipeline(size: int | Sequence[int]) -> list[dict]:
    """How frozen features see an image.

    Args:
        size: As for :func:`labelled_datasets`, or ``(height, width)``: the short edge is resized
            to the larger of the two.
    """
    height, width = to_size(size)
    return [
        dict(type='LoadRGBImage'),
        dict(type='ResizeEdge', scale=max(height, width), edge='short', backend='pillow',
             interpolation='bicubic'),
        dict(type='CenterCrop', crop_size=(width, height)),
        dict(type='PackInputs'),
    ]


def balanced_indices(labels: torch.Tensor, count: int, seed: int = 0) -> torch.Tensor:
    """Draws images so that the classes have equal numbers, as far as they have images.

    Args:
        labels: ``(N,)`` int64.
        count: How many to draw; all of them if there are fewer.
        seed: The same seed draws the same images.

    Returns:
        Their indices, ascending, int64.
    """
    if count >= len(labels):
        return torch.arange(len(labels))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    by_class = order[labels[order].argsort(stable=True)]
    _, sizes = labels[by_class].unique_consecutive(return_counts=True)
    turn = torch.cat([torch.arange(size) for size in sizes])  # of an image within its class
    return by_class[turn.argsort(stable=True)[:count]].sort().values
