"""Trains a model from a config: ConMIM itself, or a task that starts from it."""

import argparse

from mmengine.config import Config
from run_arguments import parse_run_arguments, run_config

from conmim_mm import register_all_modules
from conmim_mm.apis.options import add_online_evaluation, set_mismatch, use_mixed_precision
from conmim_mm.apis.train import run_training
from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool
from conmim_mm.visualization.trackers import TRACKERS, add_trackers


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='go on from this checkpoint; without a path, from the newest one in the work dir that '
        'is whole, or from the start if there is none')
    other_run = parser.add_mutually_exclusive_group()
    other_run.add_argument(
        '--elastic',
        action='store_true',
        help='resume with another number of processes: the batch of each is changed so that a step '
        'sees as many images as before')
    other_run.add_argument(
        '--allow-mismatch',
        action='store_true',
        help='go on though the checkpoint is of another model, data set or number of processes, or '
        'of other settings: takes of it what fits, and names and uses what is set now')
    parser.add_argument('--amp', action='store_true', help='train in mixed precision (bfloat16)')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by total batch / auto_scale_lr.base_batch_size')
    parser.add_argument(
        '--eval-data', metavar='DIR',
        help='while training, judge the features on this folder of labelled images (CLASS/*, or '
        'train/CLASS/* and val/CLASS/*) or of images/ and annotations/ (maps of labels), and keep '
        'the best checkpoint by k-NN')
    parser.add_argument(
        '--track', nargs='+', choices=TRACKERS, default=[],
        help='send what is logged there as well; WANDB_MODE=offline needs no account')
    return parse_run_arguments(parser)


def load_config(args: argparse.Namespace) -> Config:
    """The config file with the command line applied to it.

    Raises:
        InputError: No such config or checkpoint, or an option that does not fit the config.
    """
    cfg = run_config(args)
    add_trackers(cfg, args.track)
    if args.amp:
        use_mixed_precision(cfg)
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise InputError(f'{args.config} has no auto_scale_lr.base_batch_size')
        cfg.auto_scale_lr.enable = True
    if args.elastic or args.allow_mismatch:
        set_mismatch(cfg, 'rescale' if args.elastic else 'allow')
    if args.eval_data:
        add_online_evaluation(cfg, args.eval_data)
    return cfg


def main() -> None:
    args = parse_args()
    register_all_modules()  # for configs, too, that do not do it themselves
    run_training(load_config(args), args.resume, args.elastic, args.cfg_options)


if __name__ == '__main__':
    run_tool(main)
