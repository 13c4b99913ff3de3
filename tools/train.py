"""Trains a model from a config: ConMIM itself, or a task that starts from it."""

import argparse

from mmengine.config import Config
from mmengine.runner import Runner

from conmim_mm.cli import run_tool
from conmim_mm.engine.cpu_launch import processes_without_gpu
from conmim_mm.errors import InputError
from conmim_mm.run_config import (
    check_checkpoint,
    parse_run_arguments,
    resume_from_newest,
    run_config,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='go on from this checkpoint; without a path, from the latest one in the work dir')
    parser.add_argument('--amp', action='store_true', help='train in mixed precision (bfloat16)')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by total batch / auto_scale_lr.base_batch_size')
    return parse_run_arguments(parser)


def load_config(args: argparse.Namespace) -> Config:
    """The config file with the command line applied to it.

    Raises:
        InputError: No such config or checkpoint, or an option that does not fit the config.
    """
    cfg = run_config(args)
    if args.amp and cfg.optim_wrapper.get('type', 'OptimWrapper') == 'OptimWrapper':
        cfg.optim_wrapper.type = 'mmpretrain.ConMIMAmpOptimWrapper'
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise InputError(f'{args.config} has no auto_scale_lr.base_batch_size')
        cfg.auto_scale_lr.enable = True
    if args.resume == 'auto':
        resume_from_newest(cfg)
    elif args.resume:
        cfg.load_from = args.resume
        cfg.resume = True
    if cfg.get('load_from'):
        check_checkpoint(cfg.load_from)
    return cfg


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    with processes_without_gpu(cfg):
        Runner.from_cfg(cfg).train()


if __name__ == '__main__':
    run_tool(main)
