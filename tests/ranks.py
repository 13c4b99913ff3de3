"""Processes that find each other as torchrun's do, and have imported all that they need.

They are forked from a server that has: of a process that is started anew, a test would wait for the
imports alone, which take longer than a toy's training. What torchrun itself does is tested with
``dist_train`` of :mod:`tests.runs`.
"""

import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

import torch

from .conftest import load_tool

SERVER = multiprocessing.get_context('forkserver')
SERVER.set_forkserver_preload(['tests.toy_run', 'mmengine.runner', __name__])
SECONDS = 300


def on_ranks(call: Callable[..., object], *args: object, processes: int = 2) -> CompletedProcess:
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
            MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free.getsockname()[1]),
            WORLD_SIZE=str(processes), LOCAL_WORLD_SIZE=str(processes), OMP_NUM_THREADS='1')
        free.close()
        ranks = [
            SERVER.Process(target=_be_rank, args=(
                environment | dict(RANK=str(rank), LOCAL_RANK=str(rank)), Path(logs, str(rank)),
                call, args)) for rank in range(processes)]
        for rank in ranks:
            rank.start()
        end = time.monotonic() + SECONDS
        for rank in ranks:
            rank.join(max(end - time.monotonic(), 0))
        status = [rank.exitcode for rank in ranks]
        for rank in ranks:
            rank.kill()
            rank.join()
        said = [[(Path(logs, str(rank)) / name).read_text() for rank in range(processes)]
                for name in ('out', 'err')]
    assert None not in status, said
    return CompletedProcess(call.__name__, next(filter(None, status), 0), *map(''.join, said))


def _be_rank(environment: dict[str, str], logs: Path, call: Callable[..., object],
             args: Sequence[object]) -> None:
    os.environ.update(environment)
    logs.mkdir()
    for descriptor, name in ((1, 'out'), (2, 'err')):
        sys.stdout.flush()
        file = os.open(logs / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
    sys.stdout, sys.stderr = (open(descriptor, 'w', buffering=1, closefd=False)
                              for descriptor in (1, 2))
    torch.set_num_threads(1)
    call(*args)


def train_on_ranks(config: Path, *options: object, processes: int = 2) -> CompletedProcess:
    """Runs ``tools/train.py`` as ``dist_train`` does."""
    return on_ranks(_train, config, *map(str, options), processes=processes)


def _train(config: Path, *options: str) -> None:
    sys.path.insert(0, str(config.parent))
    sys.argv = ['train.py', str(config), '--launcher', 'pytorch', *options]
    tool = load_tool('train.py')
    tool.run_tool(tool.main)
