"""Draws what a pre-training config feeds the model: image, student view, teacher view and mask."""

import argparse
import os

import numpy as np
from common import add_out_argument, check_picture_file
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS
from PIL import Image, ImageOps

from conmim_mm.checkpoint.settings import type_name
from conmim_mm.datasets.reading import read_levels, reading_of
from conmim_mm.errors import InputError
from conmim_mm.report.samples import sample_inputs
from conmim_mm.utils.cli import run_tool
from conmim_mm.utils.run_config import add_config_arguments, read_config
from conmim_mm.visualization.holes import cut_holes
from conmim_mm.visualization.sheet import (
    Sheet,
    band_picture,
    describe_bands,
    save_picture,
    shown_bands,
    to_pixels,
)

LONGEST_NAME = 26


def draw_samples(cfg: Config, count: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """A row for each sample: the image, both views, and what the mask leaves to the student.

    Args:
        cfg: A pre-training config.
        count: How many samples, evenly spread over the data set.
        seed: The run's.

    Returns:
        ``(H, W, 3)`` uint8, and the images' paths. The image itself is left out where it is no
        file, as in a shard.

    Raises:
        InputError: The config is not one of a pre-training, or its data cannot be read.
    """
    init_default_scope('mmpretrain')
    if type_name(cfg.get('model', {})) != 'ConMIM':
        raise InputError(f'{cfg.filename} is not a pre-training config; browse_dataset.py shows '
                         'what ConMIM is fed, so take one of configs/conmim')
    preprocessor = MODELS.build(
        dict(type='ConMIMDataPreprocessor') | dict(cfg.model.get('data_preprocessor') or {}))
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    inputs, paths = sample_inputs(dataset, preprocessor, count, seed)
    students, teachers = (to_pixels(inputs[view], preprocessor)
                          for view in ('student_view', 'teacher_view'))
    channels = inputs['student_view'].shape[1]
    bands, how = shown_bands(preprocessor, channels), reading_of(dataset)
    masks, (height, width) = inputs['mask'].numpy(), students.shape[1:3]
    grid = tuple(side // cfg.model.backbone.patch_size for side in (height, width))
    sheet = Sheet(len(paths), 4, grid, height / width, note=(
        'Both views are one crop, the teacher\'s perturbed. Grey: hidden from the student '
        f'({int(masks[0].sum())} of {masks[0].size} patches in the first row). '
        + describe_bands(preprocessor, channels)))
    for row, path in enumerate(paths):
        if os.path.isfile(path):
            name = os.path.basename(path)
            whole = ImageOps.pad(Image.fromarray(band_picture(read_levels(path, how), bands)),
                                 (4 * width, 4 * height), color='white')
            sheet.panel(row, 0, np.asarray(whole),
                        name if len(name) <= LONGEST_NAME else f'{name[:LONGEST_NAME - 3]}...')
        sheet.panel(row, 1, students[row], 'student view')
        sheet.panel(row, 2, teachers[row], 'teacher view')
        sheet.panel(row, 3, cut_holes(students[row], masks[row], grid), 'student sees')
    return sheet.pixels(), paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='pre-training config')
    add_out_argument(parser)
    parser.add_argument('--images', type=int, default=6, metavar='N',
                        help='evenly spread over the data set (default: 6)')
    parser.add_argument('--seed', type=int, default=0, help="the run's (default: 0)")
    add_config_arguments(parser)
    args = parser.parse_args()

    if args.images < 1:
        raise InputError(f'--images must be at least 1, but is {args.images}')
    check_picture_file(args.out, args.overwrite)
    picture, paths = draw_samples(
        read_config(args.config, args.cfg_options, args.data_root), args.images, args.seed)
    save_picture(picture, args.out)
    print('\n  '.join([f'wrote {args.out}:', *paths]))


if __name__ == '__main__':
    run_tool(main)
