"""Draws what a pre-training config feeds the model: image, student view, teacher view and mask."""

import argparse
import os
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from common import check_picture_file
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATA_SAMPLERS, DATASETS, MODELS
from torch.utils.data import Dataset, default_collate

from conmim_mm.datasets.replacing_dataset import ReplacingDataset
from conmim_mm.datasets.samplers.seeded_samplers import InfiniteSeededSampler
from conmim_mm.datasets.transforms.loading import read_rgb
from conmim_mm.errors import InputError, UnreadableImageError
from conmim_mm.utils.cli import run_tool
from conmim_mm.utils.run_config import add_config_arguments, read_config
from conmim_mm.visualization.holes import cut_holes
from conmim_mm.visualization.sheet import Sheet, save_picture, to_pixels

LONGEST_NAME = 26


class TrainingSample(NamedTuple):
    """What is shown of a sample.

    Attributes:
        path: The image's file.
        original: ``(H, W, 3)`` uint8, the whole image; None where it cannot be had.
        student_view: ``(h, w, 3)`` uint8.
        teacher_view: Likewise.
        mask: ``(L,)`` bool, True = hidden.
    """

    path: str
    original: np.ndarray | None
    student_view: np.ndarray
    teacher_view: np.ndarray
    mask: np.ndarray


def training_samples(cfg: Config, count: int, seed: int = 0,
                     epoch: int = 0) -> list[TrainingSample]:
    """The first samples of an epoch, as a run on one process gets them.

    Args:
        cfg: A pre-training config.
        count: How many.
        seed: The run's.
        epoch: From 0.

    Raises:
        InputError: The config is not one of a pre-training, or its data cannot be read.
    """
    init_default_scope('mmpretrain')
    if cfg.get('model', {}).get('type', '').rpartition('.')[2] != 'ConMIM':
        raise InputError(f'{cfg.filename} is not a pre-training config; browse_dataset.py shows '
                         'what ConMIM is fed, so take one of configs/conmim')
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    sampler = DATA_SAMPLERS.build(
        cfg.train_dataloader.sampler, default_args=dict(dataset=dataset, seed=seed))
    if isinstance(sampler, InfiniteSeededSampler):
        sampler.skip(epoch * len(dataset))
    else:
        sampler.set_epoch(epoch)
    indices = list(islice(sampler, min(count, len(dataset))))
    samples = [dataset[index] for index in indices]
    inputs = unnormalised_batch(cfg, default_collate([sample['inputs'] for sample in samples]))
    return [
        TrainingSample(sample['data_samples'].img_path, whole_image(dataset, index, sample), *views)
        for index, sample, *views in zip(
            indices, samples, inputs['student_view'], inputs['teacher_view'], inputs['mask'],
            strict=True)
    ]


def unnormalised_batch(cfg: Config, inputs: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """A collated batch as the data preprocessor makes it, but not normalised.

    Args:
        cfg: With the preprocessor, which may make the teacher's view.
        inputs: Of the batch.

    Returns:
        ``student_view`` and ``teacher_view`` ``(B, H, W, 3)`` uint8, and ``mask`` ``(B, L)``.
    """
    settings = dict(type='ConMIMDataPreprocessor') | dict(cfg.model.get('data_preprocessor') or {})
    preprocessor = MODELS.build(settings | dict(mean=None, std=None))
    inputs = preprocessor(dict(inputs=inputs))['inputs']
    views = {key: to_pixels(inputs[key], preprocessor)
             for key in ('student_view', 'teacher_view')}
    return views | dict(mask=inputs['mask'].numpy())


def whole_image(dataset: Dataset, index: int, sample: dict) -> np.ndarray | None:
    """The whole image that a sample is of.

    Args:
        dataset: It came from.
        index: Of the sample.
        sample: As the data set gave it.

    Returns:
        None where another image in a shard stands in for an unreadable one.
    """
    path, data = sample['data_samples'].img_path, None
    if not os.path.isfile(path):
        if not isinstance(dataset, ReplacingDataset) or sample['data_samples'].skipped:
            return None
        data = dataset.source(dataset.get_data_info(int(index))).get('img_bytes')
    try:
        return np.asarray(read_rgb(path, data=data))
    except UnreadableImageError:
        return None


def draw_samples(samples: list[TrainingSample], patch_size: int) -> np.ndarray:
    """A row for each sample: the image, both views, and what the mask leaves to the student.

    Args:
        samples: Of one size of views.
        patch_size: Side of a patch, in pixels.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    height, width = samples[0].student_view.shape[:2]
    grid = height // patch_size, width // patch_size
    sheet = Sheet(len(samples), 4, grid, height / width, note=(
        'Both views are one crop, the teacher\'s perturbed. Grey: hidden from the student '
        f'({int(samples[0].mask.sum())} of {samples[0].mask.size} patches in the first row).'))
    for row, sample in enumerate(samples):
        if sample.original is not None:
            name = os.path.basename(sample.path)
            sheet.panel(row, 0, padded(sample.original, height / width),
                        name if len(name) <= LONGEST_NAME else f'{name[:LONGEST_NAME - 3]}...')
        sheet.panel(row, 1, sample.student_view, 'student view')
        sheet.panel(row, 2, sample.teacher_view, 'teacher view')
        sheet.panel(row, 3, cut_holes(sample.student_view, sample.mask, grid), 'student sees')
    return sheet.pixels()


def padded(image: np.ndarray, aspect: float) -> np.ndarray:
    """An image on a white ground of the given height over width."""
    height, width = image.shape[:2]
    ground = np.full((max(height, round(width * aspect)), max(width, round(height / aspect)), 3),
                     255, dtype=np.uint8)
    top, left = (ground.shape[0] - height) // 2, (ground.shape[1] - width) // 2
    ground[top:top + height, left:left + width] = image
    return ground


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='pre-training config')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE.png',
                        help='picture to write')
    parser.add_argument('--images', type=int, default=6, metavar='N', help='(default: 6)')
    parser.add_argument('--seed', type=int, default=0, help="the run's (default: 0)")
    parser.add_argument('--epoch', type=int, default=0, help='from 0 (default: 0)')
    add_config_arguments(parser)
    args = parser.parse_args()

    if args.images < 1 or args.epoch < 0:
        raise InputError(f'--images must be at least 1 and --epoch at least 0, but they are '
                         f'{args.images} and {args.epoch}')
    check_picture_file(args.out)
    cfg = read_config(args.config, args.cfg_options, args.data_root)
    samples = training_samples(cfg, args.images, args.seed, args.epoch)
    save_picture(draw_samples(samples, cfg.model.backbone.patch_size), args.out)
    print(f'wrote {args.out}:')
    for sample in samples:
        print(f'  {sample.path}')


if __name__ == '__main__':
    run_tool(main)
