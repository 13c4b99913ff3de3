"""tools/reliability/fuzz.py, with few cases; docs/reliability.md has thousands."""

import os
import signal
import time
from pathlib import Path

import fuzz
import pytest
from damages import OUTSIDE, SECRET

from conmim_mm.errors import InputError

from ...conftest import TOOLS
from ...ranks import run_script_alone


@pytest.mark.parametrize('kind', fuzz.KINDS)
def test_no_fault(tmp_path, kind: str) -> None:
    (tmp_path / OUTSIDE).mkdir()
    outcomes = fuzz.fuzz(kind, range(12), tmp_path, seed=8)
    assert [one.number for one in outcomes] == list(range(12))
    assert not [one for one in outcomes if one.verdict == 'fault']
    assert {one.verdict for one in outcomes} & {'read', 'refused'}


def refuse(folder: Path) -> None:
    raise InputError('no.')


def fail(folder: Path) -> None:
    raise KeyError('a')


def crash(folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def execute(folder: Path) -> None:
    exec(compile('1', folder / 'a.py', 'exec'))


def write_through_a_link(folder: Path) -> None:
    (folder / 'link').symlink_to(folder.parent / OUTSIDE / SECRET)
    (folder / 'link').write_text('b', encoding='utf-8')


READERS = {
    refuse: 'no.', fail: "KeyError: 'a' (", crash: 'ended with -9', execute: 'executed ',
    (lambda folder: time.sleep(9)): 'no end within 1 s',
    (lambda folder: os.system('true')): 'os.system',
    (lambda folder: bytearray(2**40)): 'MemoryError',
    (lambda folder: (folder.parents[1] / 'a').write_text('', encoding='utf-8')): 'for writing',
    write_through_a_link: 'for writing'}


@pytest.mark.parametrize(('reader', 'detail'), READERS.items())
def test_faults_are_seen(tmp_path, monkeypatch, reader, detail: str) -> None:
    (tmp_path / 'fuzz' / OUTSIDE).mkdir(parents=True)
    (tmp_path / 'fuzz' / OUTSIDE / SECRET).touch()
    monkeypatch.setattr(fuzz, 'SECONDS', 1)
    monkeypatch.setitem(fuzz.KINDS, 'run', fuzz.Kind(1, lambda folder, rng: None, reader))
    outcomes = fuzz.fuzz('run', range(2), tmp_path / 'fuzz', seed=0)
    assert [one.number for one in outcomes] == [0, 1]
    assert {one.verdict for one in outcomes} == {'refused' if reader is refuse else 'fault'}
    assert all(detail in one.detail for one in outcomes)


def test_the_table(tmp_path) -> None:
    status, printed = run_script_alone(
        tmp_path / 'log', TOOLS / 'reliability/fuzz.py', '--only', 'tar', '--count', 3)
    assert status == 0 and printed.splitlines()[-1].startswith('| tar | 3 | ')
