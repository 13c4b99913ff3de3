"""Labels read from folder names, and the images that have them."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import torch
from mmengine.logging import print_log
from mmpretrain.registry import DATASETS
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset

from ..errors import InputError, UnreadableImageError
from ..utils.sizes import spread_indices, to_size
from .class_folders import class_folders, common_classes, parts_of, why_no_labels
from .image_files import ImageFiles
from .reading import RGB, ImageReading

HELD_OUT_SHARE = 5  # without a folder of its own, every fifth image of a class is held out
MAX_HELD_OUT = 3  # of a drawn subset, at most one image in so many is held out
COMPARED_IMAGES = 10_000
UNREADABLE = -1  # in the place of a label


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
        root: Either holds ``train/CLASS/*`` and ``val/CLASS/*`` (also ``Train``, ``test`` and the
            like; ``val`` may lack a class), or ``CLASS/*``, of which every fifth image is then held
            out. Images may lie in folders of their class's own folder.

    Returns:
        None where there are fewer than two such classes, or images beside the class folders.
    """
    if found := common_classes(root):
        *parts, classes = found
        return LabelledSplit(classes, *(dict(data_root=root, data_prefix=name) for name in parts))
    classes = class_folders(root)
    if not classes:
        return None
    labelled = ImageFiles(data_root=root, with_label=True, serialize_data=False)
    seen = Counter()
    indices: tuple[list[int], list[int]] = [], []
    for index, info in enumerate(labelled.data_list):
        seen[info['gt_label']] += 1
        indices[seen[info['gt_label']] % HELD_OUT_SHARE == 0].append(index)
    if not indices[1]:
        return None
    return LabelledSplit(classes, *(dict(data_root=root, indices=part) for part in indices))


def labelled_split(root: str) -> LabelledSplit:
    """As :func:`find_labelled_split`, of a folder that must have labels.

    Raises:
        InputError: No such folder, or no labels in it.
    """
    if not os.path.isdir(root):
        raise InputError(f'no such folder: {root}')
    split = find_labelled_split(root)
    if split is None:
        raise InputError(f'no labels in {root}: {why_no_labels(root)}. It must hold train/CLASS/* '
                         'and val/CLASS/*, or CLASS/* with five images or more in a class, and no '
                         'images beside the class folders')
    return split


def training_part(root: str) -> str:
    """The training part of a folder that also has one to hold out; empty of others; by names only.

    Args:
        root: Holds, say, ``train/`` and ``val/``, with or without classes in them.
    """
    return next((train for train, _ in parts_of(root)), '')


def class_names(root: str, paths: Sequence[str]) -> list[str]:
    """The class of each image by its folder; empty where the folders are no classes.

    Args:
        root: The folder of images, as :func:`find_labelled_split` takes it.
        paths: Relative to it.
    """
    split = find_labelled_split(root)
    if split is None:
        return []
    class_of = {PurePath(part.get('data_prefix', ''), name): name
                for part in (split.train, split.held_out) for name in split.classes}
    return [next((class_of[folder] for folder in PurePath(path).parents if folder in class_of), '')
            for path in paths]


def labelled_datasets(split: LabelledSplit, size: int | Sequence[int],
                      reading: ImageReading = RGB) -> tuple[Dataset, Dataset]:
    """The images with labels to learn from, and those held out.

    Args:
        split: As :func:`find_labelled_split` finds it.
        size: As for :func:`evaluation_pipeline`.
        reading: Likewise.

    Returns:
        Two :class:`ImageFiles` with samples of ``inputs`` ``(C, height, width)`` uint8 and
        ``data_samples`` with a ``gt_label``, as :func:`extract_features` takes them.
    """
    pipeline = evaluation_pipeline(size, reading)
    train, held_out = (
        DATASETS.build(
            dict(type='ImageFiles', with_label=True, metainfo=dict(classes=split.classes),
                 pipeline=pipeline, **part)) for part in (split.train, split.held_out))
    return train, held_out


def warn_left_out(error: UnreadableImageError) -> None:
    """Says that an image does not count, and why."""
    print_log(f'left out of the evaluation: {error}', logger='current', level=logging.WARNING)


@DATASETS.register_module()
class LabelledImages(Dataset):
    """Images with labels to learn from, then others to hold out, the same ones every time.

    A sample has ``inputs`` ``(C, H, W)`` uint8, and ``data_samples`` with ``gt_label`` and,
    as meta information, ``sample_idx`` and ``held_out``. One that cannot be read is black and has
    the label ``UNREADABLE``, so that every process of a run has as many samples.

    Args:
        data_root: See :func:`find_labelled_split`.
        size: As for :func:`evaluation_pipeline`.
        max_images: So many at most, of both parts together and of all classes alike; None: all.
        reading: Keys of an :class:`ImageReading`; by default 8-bit RGB.

    Raises:
        InputError: No such folder, no labels in it, or fewer than two images wanted.
    """

    judging_cost = 1  # of an image, by the mean of its tokens

    def __init__(self, data_root: str, size: int | Sequence[int],
                 max_images: int | None = None, reading: Mapping | None = None) -> None:
        if max_images is not None and max_images < 2:
            raise InputError('max_images of LabelledImages must be at least 2: one to learn from '
                             'and one to hold out')
        self.data_root = self.held_out_root = os.path.expanduser(data_root)
        self.size = to_size(size)
        split = labelled_split(self.data_root)
        self.metainfo = dict(classes=split.classes)
        self.reading = ImageReading.from_keys(reading)
        self.parts = labelled_datasets(split, size, self.reading)
        # reading them from a large folder's list takes a while, and a run draws twice
        self._labels = [torch.tensor([part.get_data_info(i)['gt_label'] for i in range(len(part))])
                        for part in self.parts]
        self.max_images = max_images
        self.draw(max_images or sum(map(len, self.parts)))

    def draw(self, count: int) -> None:
        """Takes so many images at most, of all classes alike; at most a third is held out."""
        num_held_out = min(len(self.parts[1]), max(1, count // MAX_HELD_OUT))
        shares = count - num_held_out, num_held_out
        self.indices = [
            (part, i) for part, labels, share in zip(self.parts, self._labels, shares, strict=True)
            for i in balanced_indices(labels, share).tolist()]

    def __len__(self) -> int:
        return len(self.indices)

    def get_data_info(self, index: int) -> dict:
        """``img_path`` and ``gt_label`` of a sample."""
        part, own = self.indices[index]
        return part.get_data_info(own)

    def __getitem__(self, index: int) -> dict:
        part, own = self.indices[index]
        try:
            sample = part[own]
        except UnreadableImageError as error:
            warn_left_out(error)
            sample = dict(inputs=black_image(self.reading, self.size),
                          data_samples=DataSample().set_gt_label(UNREADABLE))
        sample['data_samples'].set_metainfo(
            dict(sample_idx=index, held_out=part is self.parts[1]))
        return sample


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
    indices = spread_indices(len(training_set), COMPARED_IMAGES)
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


def black_image(reading: ImageReading, size: tuple[int, int]) -> torch.Tensor:
    """``(C, H, W)`` of the type in which others are read."""
    return torch.zeros(reading.channels, *size, dtype=getattr(torch, reading.view_dtype))


def evaluation_pipeline(size: int | Sequence[int], reading: ImageReading = RGB) -> list[dict]:
    """How frozen features see an image.

    Args:
        size: Side of a square in pixels, or ``(height, width)``: an image is resized to cover it
            (bicubic), and the middle cut out.
        reading: What levels it has.
    """
    height, width = to_size(size)
    return [
        dict(type='LoadImage', reading=reading.keys()),
        dict(type='ResizeToCover', size=(height, width)),
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
