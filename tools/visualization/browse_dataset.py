"""Draws what a pre-training config feeds the model: image, student view, teacher view and mask."""

import argparse
from pathlib import Path

from common import check_picture_file

from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool
from conmim_mm.utils.run_config import add_config_arguments, read_config
from conmim_mm.visualization.browse import draw_samples, fed_samples
from conmim_mm.visualization.sheet import save_picture


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
    samples = fed_samples(cfg, args.images, args.seed, args.epoch)
    save_picture(draw_samples(samples, cfg.model.backbone.patch_size), args.out)
    print(f'wrote {args.out}:')
    for sample in samples:
        print(f'  {sample.path}')


if __name__ == '__main__':
    run_tool(main)
