"""The options that train.py and test.py share, and the config that they ask for."""

import argparse
import os
from pathlib import Path

from mmengine.config import Config

from conmim_mm.utils.cli import add_trust_argument
from conmim_mm.utils.run_config import add_config_arguments, fit_to_machine, read_config


def parse_run_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Adds the options that every run has, and parses."""
    parser.add_argument('--work-dir', help='folder for logs and checkpoints; default: '
                        'work_dirs/<config name>')
    add_config_arguments(parser)
    add_trust_argument(parser)
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
        help='how the processes were started')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def run_config(args: argparse.Namespace) -> Config:
    """The config of a run with the options of :func:`parse_run_arguments`, fit to this machine.

    Raises:
        InputError: As for :func:`read_config`.
    """
    cfg = read_config(args.config, args.cfg_options, args.data_root)
    cfg.launcher = args.launcher
    cfg.work_dir = (
        args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}')
    fit_to_machine(cfg)
    return cfg
