"""Data workers that die, or cannot hand over a batch, end a run at once and in one line."""

import multiprocessing
import os
import re
import resource
import signal
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from conmim_mm.distributed.data_workers import prepare_workers, provide_open_files
from conmim_mm.utils.cli import explain

from ..ranks import on_ranks


class Samples(Dataset):
    """Of which one, read in a worker, does something else."""

    def __init__(self, act) -> None:
        self.act = act

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> object:
        return self.act() if index == 7 else torch.zeros(3)


def unpicklable() -> object:
    return lambda: None


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def shm_is_full() -> None:
    raise RuntimeError('unable to write to file </torch_1_2_3>: No space left on device (28)')


def bus_error() -> None:
    os.kill(os.getpid(), signal.SIGBUS)


def too_many_files() -> None:
    raise OSError(24, 'Too many open files')


def read_all(act, answer: Path) -> None:
    loader = DataLoader(Samples(act), num_workers=1, collate_fn=list)
    prepare_workers(loader)
    try:
        try:
            list(loader)
        finally:
            time.sleep(0.5)  # PyTorch raises once more where the signal finds it
    except (OSError, RuntimeError) as error:
        answer.write_text(explain(error) or repr(error))
    os._exit(0)


@pytest.mark.parametrize('act, words', [
    (unpicklable, 'a data worker ended: for the reason it gave above'),
    (killed, 'or killed, as by a full memory'),
    (shm_is_full, '/dev/shm is too small'),
    (bus_error, '/dev/shm is too small|for the reason it gave above'),
    (too_many_files, 'too many open files: ulimit -n')])
@pytest.mark.filterwarnings('ignore')
def test_a_worker_that_fails_is_one_line(act, words: str, tmp_path: Path, capfd) -> None:
    process = multiprocessing.get_context('fork').Process(
        target=read_all, args=(act, tmp_path / 'answer'))
    process.start()
    process.join(timeout=30)
    assert process.exitcode == 0
    line = (tmp_path / 'answer').read_text()
    assert re.search(words, line) and '\n' not in line and 'train_dataloader.num_workers' in line
    if act is unpicklable:
        assert 'data worker: cannot hand over a batch: ' in capfd.readouterr().err


def test_what_is_no_workers_fault_keeps_its_traceback() -> None:
    assert explain(RuntimeError('CUDA error: an illegal memory access')) is None


@pytest.mark.parametrize('limits, workers, expected', [
    ('256:256', 50, '(?s)may need [0-9]+ open files, but .* may have 256: ulimit -n.*^256$'),
    ('64:64', 63, r'need [0-9]+ open files, but this process may have 64: ulimit -n [^\n]*\Z'),
    ('64:256', 4, '^256$'), ('256:256', 0, '^256$')])
def test_open_files(limits: str, workers: int, expected: str) -> None:
    done = on_ranks(provide, tuple(map(int, limits.split(':'))), workers, processes=1)
    assert done.returncode == 0
    said = done.stderr + done.stdout.strip()
    assert re.search(expected, said, re.MULTILINE), said


def provide(limits: tuple[int, int], workers: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    try:
        provide_open_files(workers)
    except ValueError as error:
        print(error)
    else:
        print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
