"""tools/reliability/kill_and_resume.py, with few kills; docs/reliability.md has 50."""

import json
import subprocess
import sys

import pytest

from ...conftest import ROOT, TOOLS
from ...runs import environment

pytestmark = pytest.mark.slow


def kill_and_resume(*arguments: object) -> dict:
    result = subprocess.run(
        [sys.executable, TOOLS / 'reliability/kill_and_resume.py', *map(str, arguments)],
        stdout=subprocess.PIPE, text=True, check=True, timeout=300,
        env=environment(ROOT))
    return json.loads(result.stdout.splitlines()[-1])


def test_kills_lose_nothing(tmp_path) -> None:
    results = kill_and_resume('--kills', 2, '--steps', 40, '--max-wait', 1,
                              '--out', tmp_path / 'out')
    assert results['kills'] == 2 and results['equal']
    assert not list((tmp_path / 'out' / 'run').glob('*.tmp'))
    assert [path.name for path in (tmp_path / 'out/run').glob('*.pth')] == ['iter_40.pth']


def test_kills_after_steps_with_workers(tmp_path) -> None:
    results = kill_and_resume('--kills', 2, '--every', 7, '--interval', 5, '--steps', 30,
                              '--workers', 1, '--out', tmp_path / 'out')
    assert results['equal']
    # killed at 7, of which 6 and 7 are taken again, and at 12, of which 11 and 12
    assert results['steps_taken_twice'] >= 4
    assert len(results['megabytes']) == len(results['open_files']) == 3
