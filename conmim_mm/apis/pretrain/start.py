"""``conmim pretrain``: from a folder of images to a run, through a config that is written down."""

import argparse
import os
from pathlib import Path

import torch

from ...errors import InputError
from ...utils.cli import COMMAND, explain
from ...utils.files import writing
from ...utils.run_config import fit_to_machine, read_config
from ...utils.work_dir import last_checkpoint, log_entries
from ..options import set_mismatch
from ..train import run_training
from .plan import plan_run
from .processes import check_gpus, start_processes
from .resumed_run import resumed_run
from .run_folder import CONFIG, check_folder, discard, move_aside

STANDARD_OUT = 'runs'
MISMATCH_OPTIONS = dict(rescale='--elastic', allow='--allow-mismatch')  # of tools/train.py


def run(args: argparse.Namespace) -> None:
    """Trains, or goes on with a run.

    Raises:
        InputError: Options that don't fit each other, the images, or what is in the folder.
    """
    check_gpus(args.gpus)
    if args.resume:
        args.out = own_path(args.out or standard_out(args))
        how = resumed_run(args)
        if how is not None:
            start(args.out, how.processes, resume=True, mismatch=how.mismatch)
        return
    if not args.config:
        args.arch = args.arch or standard_arch()
    args.out = own_path(args.out or standard_out(args))
    check_places(args)
    plan = plan_run(args)
    with writing(args.out):
        earlier = move_aside(args.out) if args.overwrite else None
        args.out.mkdir(parents=True, exist_ok=True)
        plan.write(args.out / CONFIG)
    print(plan.summary(), flush=True)
    try:
        start(args.out, args.gpus or 1)
    except Exception as error:
        if explain(error) and not has_begun(args.out):
            discard(args.out, earlier)  # so that the corrected command finds no run there
        raise


def own_path(out: Path) -> Path:
    """The folder's full name without any ``..``, so that it has one of its own beside it."""
    return Path(os.path.abspath(out))


def has_begun(out: Path) -> bool:
    """Whether a run has logged or saved anything."""
    return any(out.glob('*.pth')) or any(log_entries(out))


def standard_arch() -> str:
    """The size that can be trained here within a sensible time."""
    return 's' if torch.cuda.is_available() else 'tiny'


def standard_out(args: argparse.Namespace) -> Path:
    """``runs/ARCH-DATA``."""
    recipe = Path(args.config).stem if args.config else args.arch or standard_arch()
    return Path(STANDARD_OUT) / f'{recipe}-{args.data.resolve().name}'


def check_places(args: argparse.Namespace) -> None:
    """Checks the folders of a new run.

    Raises:
        InputError: No such folder of images, or no place of its own for the run.
    """
    for option, folder in (('--data', args.data), ('--eval-data', args.eval_data)):
        if folder and not folder.is_dir():
            raise InputError(f'{option}: no such folder: {folder}')
    if Path.cwd().is_relative_to(args.out.resolve()):
        raise InputError(f'--out {args.out} is the folder you are in, or one above it: give the '
                         'run a folder of its own')
    if args.out.resolve().is_relative_to(args.data.resolve()):
        raise InputError(f'--out {args.out} lies inside --data {args.data}, where the pictures of '
                         'its report would be taken for images: choose another --out')
    with writing(args.out):
        check_folder(args.out, args.overwrite)


def start(out: Path, processes: int, resume: bool = False, mismatch: str | None = None) -> None:
    """Starts the training of a written config, in this process or in several of its own.

    Args:
        out: Folder of the run.
        processes: That train together.
        resume: Whether to go on.
        mismatch: As in :class:`Resumption`.
    """
    config = out / CONFIG
    if processes > 1:
        options = ['--resume'] if resume else []
        options += [MISMATCH_OPTIONS[mismatch]] if mismatch else []
        start_processes(config, processes, ['--work-dir', str(out), *options])
        return
    cfg = read_config(str(config))
    cfg.launcher, cfg.work_dir = 'none', str(out)
    os.environ.setdefault('LOCAL_RANK', '0')
    fit_to_machine(cfg)
    if mismatch:
        set_mismatch(cfg, mismatch)
    run_training(cfg, 'auto' if resume else None, elastic=mismatch == 'rescale')
    last = last_checkpoint(out)
    print(f'finished: {last}. Judge it on labelled images with `{COMMAND} knn {out} --data DIR`, '
          f'take its features with `{COMMAND} embed {out} --data DIR --out FILE.npz`')
