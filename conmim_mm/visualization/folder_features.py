"""Features of a folder's images, with the labels its folders give them."""

from typing import NamedTuple

import numpy as np
import torch
from mmpretrain.registry import DATASETS
from torch import nn
from torch.utils.data import Dataset

from ..datasets.image_files import ImageFiles
from ..datasets.labelled_folder import (
    HELD_OUT_NAMES,
    TRAIN_NAMES,
    class_folders,
    find_labelled_split,
)
from ..evaluation.features import extract_features
from ..evaluation.labelled_folder import evaluation_pipeline
from ..models.backbones.conmim_vit import ConMIMViT


class FolderFeatures(NamedTuple):
    """What :func:`folder_features` finds.

    Attributes:
        features: ``(N, C)`` float32.
        paths: N files.
        labels: N numbers of classes; empty where there are none.
        classes: Their names; empty where there are none.
    """

    features: torch.Tensor
    paths: list[str]
    labels: list[int]
    classes: tuple[str, ...]


def folder_features(backbone: ConMIMViT, preprocessor: nn.Module, folder: str, limit: int,
                    num_workers: int = 2) -> FolderFeatures:
    """Mean-pooled features of up to ``limit`` images, evenly spread over the folder.

    Labels are read from ``CLASS/*``, or from ``train/CLASS/*`` and ``val/CLASS/*``, of which the
    held-out images are taken.

    Args:
        backbone: As :func:`extract_features` takes it.
        preprocessor: Likewise.
        folder: Of images, in any sub-folders.
        limit: Images.
        num_workers: Processes that read them.

    Raises:
        InputError: No such folder, no images, or one that cannot be read.
    """
    source, classes = labelled_source(folder)
    images = DATASETS.build(dict(
        type='ImageFiles', with_label=bool(classes), serialize_data=False,
        pipeline=evaluation_pipeline(backbone.img_size), **source))
    chosen = np.linspace(0, len(images) - 1, min(limit, len(images))).round().astype(int).tolist()
    samples = _Chosen(images, chosen)
    features, labels = extract_features(
        backbone, samples, preprocessor, batch_size=64, num_workers=num_workers)
    return FolderFeatures(
        features, [images.data_list[index]['img_path'] for index in chosen],
        labels.tolist() if classes else [], tuple(classes))


def labelled_source(folder: str) -> tuple[dict, tuple[str, ...]]:
    """Arguments of ``ImageFiles`` for a folder, and the names of its classes, if it has any."""
    split = find_labelled_split(folder)
    if split is not None and 'data_prefix' in split.held_out:
        return split.held_out, split.classes
    # a class may be too small to hold images of it out, which a map need not
    classes = class_folders(folder)
    is_split = set(classes) <= {*TRAIN_NAMES, *HELD_OUT_NAMES}
    return dict(data_root=folder), () if is_split else classes


class _Chosen(Dataset):
    """Some images; those without a label get 0, as features are extracted with one."""

    def __init__(self, images: ImageFiles, indices: list[int]) -> None:
        self.images, self.indices = images, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict:
        sample = self.images[self.indices[index]]
        if 'gt_label' not in sample['data_samples']:
            sample['data_samples'].set_gt_label(0)
        return sample
