"""Pre-trains (or trains) a model from a config."""

import argparse
import os
import zipfile
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from conmim_mm.cli import run_tool
from conmim_mm.engine.cpu_launch import close_cpu_processes, init_cpu_processes
from conmim_mm.errors import InputError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints; default: '
                        'work_dirs/<config name>')
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
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config, such as '
        'train_dataloader.dataset.data_root=/my/photos')
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
        help='how the processes were started')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def load_config(args: argparse.Namespace) -> Config:
    """The config file with the command line applied to it.

    Raises:
        InputError: No such config or checkpoint, or an option that does not fit the config.
    """
    if not Path(args.config).is_file():
        raise InputError(f'no such config: {args.config}')
    try:
        cfg = Config.fromfile(args.config)
    except Exception as error:  # a config is code, so anything can go wrong in it
        raise InputError(f'cannot read {args.config}: {type(error).__name__}: {error}') from error
    cfg.launcher = args.launcher
    try:
        cfg.merge_from_dict(args.cfg_options or {})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f'--cfg-options do not fit {args.config}: {error}') from error
    cfg.work_dir = (
        args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}')

    if args.amp and cfg.optim_wrapper.get('type', 'OptimWrapper') == 'OptimWrapper':
        cfg.optim_wrapper.type = 'ConMIMAmpOptimWrapper'
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise InputError(f'{args.config} has no auto_scale_lr.base_batch_size')
        cfg.auto_scale_lr.enable = True
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if cfg.get('load_from') and '://' not in cfg.load_from:
        check_checkpoint(Path(cfg.load_from))
    if not torch.cuda.is_available():
        cfg.train_dataloader.pin_memory = False
    if not cfg.train_dataloader.get('num_workers'):
        cfg.train_dataloader.persistent_workers = False
    return cfg


def check_checkpoint(path: Path) -> None:
    """Fails early and in one line where a checkpoint is missing or is none."""
    if not path.is_file():
        raise InputError(f'no such checkpoint: {path}')
    if not zipfile.is_zipfile(path):
        raise InputError(f'{path} is no checkpoint (or a damaged one)')


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    on_cpu_processes = cfg.launcher != 'none' and not torch.cuda.is_available()
    if on_cpu_processes:
        init_cpu_processes(cfg)
    Runner.from_cfg(cfg).train()
    if on_cpu_processes:
        close_cpu_processes()


if __name__ == '__main__':
    run_tool(main)
