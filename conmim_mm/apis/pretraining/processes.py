"""The processes that a run trains in: whether there are GPUs for them, and their start."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from ...errors import InputError
from ...utils.shipped_files import shipped_file


def check_requested_gpus(wanted: int | None) -> None:
    """Says so where there are fewer GPUs than asked for; without any, processes share the CPU."""
    there = torch.cuda.device_count()
    if there and (wanted or 1) > there:
        raise InputError(f'--gpus {wanted}, but there are {there} GPUs here')


def check_gpus_of_resumed_run(processes: int, batch_size: int) -> None:
    """As :func:`check_requested_gpus`, where the number is that of a run which goes on.

    Args:
        processes: At its last saving.
        batch_size: Images on each of them per step.

    Raises:
        InputError: Fewer GPUs; it says with how many the run can go on.
    """
    there = torch.cuda.device_count()
    if there and processes > there:
        fitting = next(n for n in range(there, 0, -1) if processes * batch_size % n == 0)
        raise InputError(f'the run was saved with {processes} processes, but there are {there} '
                         f'GPUs here: go on with --resume --gpus {fitting}')


def start_processes(config: Path, processes: int, options: list[str], in_place: bool) -> None:
    """Starts a training with tools/dist_train.sh.

    Args:
        config: Of the run.
        processes: That train together.
        options: Of tools/train.py.
        in_place: Put the script in the place of this process, so that signals and exit status are
            its own; else wait for it.

    Raises:
        InputError: There is no bash.
        subprocess.CalledProcessError: The training failed.
    """
    bash = shutil.which('bash')
    if bash is None:
        raise InputError('--gpus needs bash, which is not installed here')
    words = ['bash', str(shipped_file('tools/dist_train.sh')), str(config), str(processes),
             *options]
    environment = os.environ | dict(PYTHON=sys.executable)
    if in_place:
        sys.stdout.flush()
        os.execve(bash, words, environment)
    subprocess.run(words, executable=bash, env=environment, check=True)
