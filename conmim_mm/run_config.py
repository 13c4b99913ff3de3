"""From a config file and a command line to the config of a run; what train.py and test.py share."""

import argparse
import zipfile
from pathlib import Path

import torch
from mmengine.config import Config, DictAction

from .errors import InputError


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that every run has."""
    parser.add_argument('--work-dir', help='folder for logs and checkpoints; default: '
                        'work_dirs/<config name>')
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


def read_config(path: str, options: dict | None = None) -> Config:
    """A config file with overriding settings applied.

    Raises:
        InputError: No such config, one that cannot be read, or an option that does not fit it.
    """
    if not Path(path).is_file():
        raise InputError(f'no such config: {path}')
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is code, so anything can go wrong in it
        raise InputError(f'cannot read {path}: {type(error).__name__}: {error}') from error
    try:
        cfg.merge_from_dict(options or {})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f'--cfg-options do not fit {path}: {error}') from error
    return cfg


def run_config(args: argparse.Namespace) -> Config:
    """The config of a run with the options of :func:`add_run_arguments`, fit to this machine.

    Raises:
        InputError: As for :func:`read_config`.
    """
    cfg = read_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    cfg.work_dir = (
        args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}')
    fit_to_machine(cfg)
    return cfg


def fit_to_machine(cfg: Config) -> None:
    """Drops what the loaders of a config cannot have here: pinned memory, persistent workers."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if not loader:
            continue
        if not torch.cuda.is_available():
            loader.pin_memory = False
        if not loader.get('num_workers'):
            loader.persistent_workers = False


def check_checkpoint(path: str) -> None:
    """Fails early and in one line where a checkpoint is missing or is none.

    Args:
        path: A file; addresses are left to whoever loads them.

    Raises:
        InputError: No such file, or not a checkpoint.
    """
    if '://' in path:
        return
    if not Path(path).is_file():
        raise InputError(f'no such checkpoint: {path}')
    if not zipfile.is_zipfile(path):
        raise InputError(f'{path} is no checkpoint (or a damaged one)')
