"""Processes that have imported all that they need, alone or as a group.

They are forked from a server that has: of a process that is started anew, a test would wait for the
imports alone, which take longer than a toy's training. What torchrun itself does is tested with
``dist_train`` of :mod:`tests.runs`.
"""

import gc
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing import connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import torch

from conmim_mm.utils import cli

from .conftest import load_tool

SERVER = multiprocessing.get_context('forkserver')
SERVER.set_forkserver_preload(['tests.toy_run', 'mmengine.runner', __name__])
SECONDS, GRACE_SECONDS = 300, 60


def on_ranks(call: Callable[..., object], *args: object,
             processes: int = 2) -> subprocess.CompletedProcess:
    """Calls a function on several processes, which are a group once one of them asks for it.

    Args:
        call: A function of a module.
        args: Its arguments.
        processes: How many.

    Returns:
        What all of them printed, and the first exit status that is not 0.

    Raises:
        AssertionError: One of them did not end.
    """
    with socket.socket() as free, TemporaryDirectory() as logs:
        free.bind(('127.0.0.1', 0))
        environment = dict(
            os.environ, MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free.getsockname()[1]),
            WORLD_SIZE=str(processes), LOCAL_WORLD_SIZE=str(processes), OMP_NUM_THREADS='1')
        free.close()
        ranks = [
            SERVER.Process(target=_be_rank, args=(
                environment | dict(RANK=str(rank), LOCAL_RANK=str(rank)), Path(logs, str(rank)),
                call, args)) for rank in range(processes)]
        for rank in ranks:
            rank.start()
        end = time.monotonic() + SECONDS
        while any(rank.exitcode is None for rank in ranks) and time.monotonic() < end:
            if any(rank.exitcode for rank in ranks):  # for whom the others may wait for ever
                end = min(end, time.monotonic() + GRACE_SECONDS)
            connection.wait([rank.sentinel for rank in ranks if rank.exitcode is None],
                            max(end - time.monotonic(), 0))
        status = [rank.exitcode for rank in ranks]
        for rank in ranks:
            rank.kill()
            rank.join()
        said = [[(Path(logs, str(rank)) / name).read_text() for rank in range(processes)]
                for name in ('out', 'err')]
    assert None not in status, said
    return subprocess.CompletedProcess(
        call.__name__, next(filter(None, status), 0), *map(''.join, said))


def _be_rank(environment: dict[str, str], logs: Path, call: Callable[..., object],
             args: Sequence[object]) -> None:
    os.environ.clear()  # the server's is of the time when it began
    os.environ.update(environment)
    logs.mkdir()
    _print_into(logs / 'out', logs / 'err')
    cli.gc = gc  # here the end of a tool is the end of its process
    call(*args)


def _print_into(*files: Path) -> None:
    gc.freeze()  # what is imported
    for descriptor, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    sys.stdout, sys.stderr = (open(descriptor, 'w', buffering=1, closefd=False)
                              for descriptor in (1, 2))
    torch.set_num_threads(1)


def train_on_ranks(config: Path, *options: object,
                   processes: int = 2) -> subprocess.CompletedProcess:
    """Runs ``tools/train.py`` as ``dist_train`` does."""
    return on_ranks(train_as_a_rank, config, *map(str, options), processes=processes)


def train_as_a_rank(config: Path, *options: str) -> None:
    """``tools/train.py`` as one process of several."""
    sys.path.insert(0, str(config.parent))
    sys.argv = ['train.py', str(config), '--launcher', 'pytorch', *options]
    tool = load_tool('train.py')
    tool.run_tool(tool.main)


class ScriptPopen:
    """What our tools use of ``subprocess.Popen``, for a Python script that prints into a file."""

    def __init__(self, command: Sequence[object], stdout: IO, stderr: object,
                 env: dict[str, str]) -> None:
        self._process = SERVER.Process(target=_run_script, args=(
            env, Path.cwd(), Path(stdout.name).absolute(), *map(str, command[1:])))
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout)
        return self.returncode

    def kill(self) -> None:
        self._process.kill()

    @property
    def pid(self) -> int:
        """Of the process, and of the group that it begins."""
        return self._process.pid


def run_script_alone(log: Path, script: Path, *words: object) -> tuple[int, str]:
    """Runs a script in a process of its own; gives its exit status and what it printed."""
    with log.open('w') as file:
        process = ScriptPopen([sys.executable, script, *words], file, file, dict(os.environ))
    return process.wait(SECONDS), log.read_text()


def _run_script(environment: dict[str, str], folder: Path, log: Path, script: str,
                *words: str) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    _print_into(log, log)
    sys.path[:0] = environment.get('PYTHONPATH', '').split(os.pathsep)
    sys.argv = [script, *words]
    runpy.run_path(script, run_name='__main__')
