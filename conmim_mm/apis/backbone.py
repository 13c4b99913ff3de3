"""What ``knn``, ``linear`` and ``embed`` share: a backbone, and labelled images."""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

from mmengine.device import get_device
from mmengine.registry import init_default_scope

from ..checkpoint.reading import load_checkpoint_file
from ..checkpoint.settings import saved_settings
from ..datasets.labelled_folder import LabelledSplit, find_labelled_split
from ..errors import InputError
from ..evaluation import Accuracy, extract_features, labelled_datasets
from ..formats.backbone import load_backbone
from ..models.backbones.conmim_vit import ConMIMViT
from ..models.data_preprocessors.conmim_data_preprocessor import ConMIMDataPreprocessor
from ..utils.files import check_place, writing
from ..utils.machine import usable_cores
from ..utils.work_dir import last_checkpoint

MAX_WORKERS = 16


class FrozenBackbone(NamedTuple):
    """A backbone in eval mode and what normalises its images, both on the device."""

    backbone: ConMIMViT
    preprocessor: ConMIMDataPreprocessor

    @property
    def img_size(self) -> int:
        """Side of the images, in pixels."""
        return self.backbone.img_size[0]


def frozen_backbone(args: argparse.Namespace) -> FrozenBackbone:
    """That of ``args.checkpoint``.

    Raises:
        InputError: There is none in it.
    """
    init_default_scope('mmpretrain')
    device = get_device()
    path = checkpoint_file(args.checkpoint)
    backbone = load_backbone(path, args.weights, args.img_size)
    preprocessor = preprocessor_of(load_checkpoint_file(path))
    return FrozenBackbone(backbone.to(device), preprocessor.to(device))


def preprocessor_of(checkpoint: dict) -> ConMIMDataPreprocessor:
    """Normalises as the settings in a checkpoint say; by ImageNet's numbers where none can be read.

    Args:
        checkpoint: Its contents.
    """
    try:
        cfg = saved_settings(checkpoint)
        own = cfg['model'].get('data_preprocessor') or cfg.get('data_preprocessor') or {}
        # images come as RGB here, whatever the config's own pipeline gives
        settings = {key: own[key] for key in ('mean', 'std') if key in own}
        return ConMIMDataPreprocessor(**settings)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError):
        return ConMIMDataPreprocessor()


def checkpoint_file(path: Path) -> Path:
    """The path itself, or the last checkpoint of a run's folder."""
    if not path.is_dir():
        return path
    last = last_checkpoint(path)
    if last is None:
        raise InputError(f'there is no checkpoint in {path} yet')
    return last


def num_workers(args: argparse.Namespace) -> int:
    """Processes that read images."""
    return args.workers if args.workers is not None else min(usable_cores(), MAX_WORKERS)


def labelled_split(folder: Path) -> LabelledSplit:
    """Which labelled images to learn from and which to hold out.

    Raises:
        InputError: No such folder, or no labels in it.
    """
    if not folder.is_dir():
        raise InputError(f'no such folder: {folder}')
    split = find_labelled_split(str(folder))
    if split is None:
        raise InputError(f'no labels in {folder}: it must hold train/CLASS/* and val/CLASS/*, or '
                         'CLASS/* with five images or more in a class, and no images beside them')
    return split


def judge(args: argparse.Namespace, name: str, predict, **settings: object) -> None:
    """Prints the accuracy of a way to classify frozen features.

    Args:
        args: Of the command.
        name: Of the way.
        predict: Predicts labels from training features, their labels and the features.
        **settings: Of the way, for ``args.json``.
    """
    if args.json:
        check_place(args.json)
    split = labelled_split(args.data)
    frozen = frozen_backbone(args)
    parts = [
        extract_features(frozen.backbone, dataset, frozen.preprocessor, args.batch_size,
                         num_workers(args))
        for dataset in labelled_datasets(split, frozen.img_size)
    ]
    device = next(frozen.backbone.parameters()).device
    (features, labels), (held_out, truth) = (
        [tensor.to(device) for tensor in part] for part in parts)
    predicted = predict(features, labels, held_out)
    accuracy = Accuracy((predicted == truth).float().mean().item(), len(truth))
    print(f'{name} top-1: {accuracy.value:.2%} (standard error {accuracy.standard_error:.2%}) on '
          f'{accuracy.num_images:,} held-out images, from {len(labels):,} with labels of '
          f'{len(split.classes):,} classes')
    if args.json:
        with writing(args.json):
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(dict(
                top1=accuracy.value, standard_error=accuracy.standard_error,
                num_images=accuracy.num_images, num_reference=len(labels),
                num_classes=len(split.classes), checkpoint=str(args.checkpoint),
                weights=args.weights, data=str(args.data), img_size=frozen.img_size,
                **settings), indent=2) + '\n')
