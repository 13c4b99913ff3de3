"""A frozen backbone with the normalisation of its images, as features are taken with it."""

from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.device import get_device
from mmengine.registry import init_default_scope

from ..checkpoint.reading import load_checkpoint_file
from ..formats.backbone import load_backbone, saved_normalisation
from ..models.backbones.conmim_vit import ConMIMViT
from ..models.data_preprocessors.conmim_data_preprocessor import ConMIMDataPreprocessor
from ..utils.machine import usable_cores
from ..utils.work_dir import checkpoint_file

MAX_WORKERS = 16


class FrozenBackbone(NamedTuple):
    """A backbone in eval mode and what normalises its images, both on the device."""

    backbone: ConMIMViT
    preprocessor: ConMIMDataPreprocessor

    @property
    def img_size(self) -> int:
        """Side of the images, in pixels."""
        return self.backbone.img_size[0]

    @property
    def device(self) -> torch.device:
        """Where both are."""
        return self.backbone.cls_token.device


def frozen_backbone(checkpoint: str | Path, weights: str = 'teacher',
                    img_size: int | None = None) -> FrozenBackbone:
    """That of a checkpoint, which is read once.

    Args:
        checkpoint: As for :func:`checkpoint_file`.
        weights: As for :func:`load_backbone`.
        img_size: As for :func:`load_backbone`.

    Raises:
        InputError: There is none in it.
    """
    init_default_scope('mmpretrain')
    device = get_device()
    contents = load_checkpoint_file(checkpoint_file(checkpoint))
    backbone = load_backbone(contents, weights, img_size)
    return FrozenBackbone(backbone.to(device), preprocessor_of(contents).to(device))


def preprocessor_of(checkpoint: dict) -> ConMIMDataPreprocessor:
    """Normalises as :func:`saved_normalisation` says.

    Args:
        checkpoint: Its contents.
    """
    mean, std = saved_normalisation(checkpoint)
    return ConMIMDataPreprocessor(mean, std)


def num_workers(wanted: int | None) -> int:
    """Processes that read images: one per core, if it is not said."""
    return wanted if wanted is not None else min(usable_cores(), MAX_WORKERS)
