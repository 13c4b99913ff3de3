"""``conmim pretrain``: from a folder of images to a run, through a config that is written down."""

import argparse
import os
import shutil
import sys
from pathlib import Path

import torch

from ..cli import COMMAND, explain
from ..errors import InputError
from ..resume import set_mismatch
from ..run_config import fit_to_machine, read_config
from ..training import run_training
from ..work_dir import last_checkpoint, log_entries
from .configs import shipped_file
from .pretrain_config import plan_run
from .resumed_run import resumed_run
from .run_folder import CONFIG, check_folder, move_aside

STANDARD_OUT = 'runs'
MISMATCH_OPTIONS = dict(rescale='--elastic', allow='--allow-mismatch')  # of tools/train.py


def run(args: argparse.Namespace) -> None:
    """Trains, or goes on with a run.

    Raises:
        InputError: Options that don't fit each other, the images, or what is in the folder.
    """
    check_gpus(args.gpus)
    if args.resume:
        args.out = args.out or standard_out(args)
        how = resumed_run(args)
        if how is not None:
            start(args.out, how.processes, resume=True, mismatch=how.mismatch)
        return
    if not args.config:
        args.arch = args.arch or standard_arch()
    args.out = args.out or standard_out(args)
    check_places(args)
    plan = plan_run(args)
    if args.overwrite:
        move_aside(args.out)
    args.out.mkdir(parents=True, exist_ok=True)
    plan.write(args.out / CONFIG)
    print(plan.summary(args.out), flush=True)
    try:
        start(args.out, args.gpus or 1)
    except Exception as error:
        if explain(error) and not has_begun(args.out):
            shutil.rmtree(args.out)  # made above, so that the corrected command finds no run there
        raise


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


def check_gpus(wanted: int | None) -> None:
    """Says so where there are fewer GPUs than asked for; without any, processes share the CPU."""
    there = torch.cuda.device_count()
    if there and (wanted or 1) > there:
        raise InputError(f'--gpus {wanted}, but there are {there} GPUs here')


def check_places(args: argparse.Namespace) -> None:
    """Checks the folders of a new run.

    Raises:
        InputError: No such folder of images, or no place for the run.
    """
    for option, folder in (('--data', args.data), ('--eval-data', args.eval_data)):
        if folder and not folder.is_dir():
            raise InputError(f'{option}: no such folder: {folder}')
    if args.out.resolve().is_relative_to(args.data.resolve()):
        raise InputError(f'--out {args.out} lies inside --data {args.data}, where the pictures of '
                         'its report would be taken for images: choose another --out')
    check_folder(args.out, args.overwrite)


def start(out: Path, processes: int, resume: bool = False, mismatch: str | None = None) -> None:
    """Starts the training of a written config, in this process or in several of its own.

    Args:
        out: Folder of the run.
        processes: That train together.
        resume: Whether to go on.
        mismatch: As in :class:`~conmim_mm.commands.resumed_run.Resumption`.
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


def start_processes(config: Path, processes: int, options: list[str]) -> None:
    """Puts tools/dist_train.sh in the place of this process: signals and exit status are its own.

    Raises:
        InputError: There is no bash.
    """
    bash = shutil.which('bash')
    if bash is None:
        raise InputError('--gpus needs bash, which is not installed here')
    script = shipped_file('tools/dist_train.sh')
    sys.stdout.flush()
    os.execve(bash, ['bash', str(script), str(config), str(processes), *options],
              os.environ | dict(PYTHON=sys.executable))
