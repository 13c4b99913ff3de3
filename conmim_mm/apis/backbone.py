"""A frozen backbone with the normalisation of its images, as features are taken with it."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from torch import nn

from ..datasets.reading import RGB, ImageReading
from ..formats.backbone import build_backbone
from ..formats.pooled_timm import PooledTimm, pooled_timm
from ..formats.source import BackboneSource, read_source
from ..models.backbones.conmim_vit import ConMIMViT
from ..models.data_preprocessors.conmim_data_preprocessor import ConMIMDataPreprocessor
from ..utils.machine import usable_cores

MAX_WORKERS = 16


class FrozenBackbone(NamedTuple):
    """A backbone in eval mode and what normalises its images, both on the device.

    ``reading`` says how these are read.
    """

    backbone: ConMIMViT | PooledTimm
    preprocessor: ConMIMDataPreprocessor
    reading: ImageReading = RGB

    @property
    def img_size(self) -> tuple[int, int]:
        """Height and width of the images, in pixels."""
        return self.backbone.img_size

    @property
    def device(self) -> torch.device:
        """Where both are."""
        return next(self.backbone.parameters()).device


def frozen_backbone(checkpoint: str | Path, weights: str = 'teacher',
                    img_size: int | Sequence[int] | None = None) -> FrozenBackbone:
    """That of any source, which is read once.

    Args:
        checkpoint: As for :func:`read_source`, or ``timm:NAME`` of any model of timm's: one that is
            no plain ViT gives its own pooled features.
        weights: As for :func:`read_source`.
        img_size: Side of the images, in pixels, or ``(height, width)``; position tables are resized
            to it. By default as it was trained.

    Raises:
        InputError: There is none in it, or ``img_size`` does not fit it.
    """
    other = pooled_timm(str(checkpoint), img_size)
    return freeze(*other) if other else freeze_source(read_source(checkpoint, weights), img_size)


def freeze_source(source: BackboneSource, img_size: int | Sequence[int] | None = None
                  ) -> FrozenBackbone:
    """The backbone of a source; arguments and errors as for :func:`frozen_backbone`.

    Says in the log what was assumed.
    """
    for note in source.notes:
        print_log(note, logger='current', level=logging.WARNING)
    return freeze(build_backbone(source.weights, source.sizes, img_size), source.mean, source.std,
                  source.reading)


def untrained(source: BackboneSource, seed: int = 0) -> BackboneSource:
    """A source of the same sizes with the weights that a training would start with."""
    backbone = ConMIMViT(**source.settings | source.start)
    logging.disable(logging.INFO)  # MMEngine tells how each parameter starts
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            backbone.init_weights()
    finally:
        logging.disable(logging.NOTSET)
    return replace(source, weights=backbone.state_dict(), library='none')


def freeze(backbone: nn.Module, mean: tuple[float, ...], std: tuple[float, ...],
           reading: ImageReading = RGB) -> FrozenBackbone:
    """A :class:`FrozenBackbone`, on the device."""
    init_default_scope('mmpretrain')
    device = get_device()
    return FrozenBackbone(backbone.eval().to(device), ConMIMDataPreprocessor(mean, std).to(device),
                          reading)


def num_workers(wanted: int | None) -> int:
    """Processes that read images: one per core, if it is not said."""
    return wanted if wanted is not None else min(usable_cores(), MAX_WORKERS)
