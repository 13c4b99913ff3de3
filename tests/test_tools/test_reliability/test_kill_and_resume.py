"""tools/reliability/kill_and_resume.py, with few kills; docs/reliability.md has 50."""

import json

import pytest

from ...conftest import TOOLS
from ...ranks import run_script_alone

pytestmark = pytest.mark.slow


@pytest.fixture
def kill_and_resume(tmp_path):
    def call(*arguments: object) -> dict:
        status, printed = run_script_alone(
            tmp_path / 'log', TOOLS / 'reliability/kill_and_resume.py', *arguments)
        assert status == 0, printed
        return json.loads(printed.splitlines()[-1])

    return call


def test_kills_lose_nothing(kill_and_resume, tmp_path) -> None:
    results = kill_and_resume('--kills', 2, '--steps', 25, '--max-wait', 1,
                              '--out', tmp_path / 'out')
    assert results['kills'] == 2 and results['equal']
    assert not list((tmp_path / 'out' / 'run').glob('*.tmp'))
    assert [path.name for path in (tmp_path / 'out/run').glob('*.pth')] == ['iter_25.pth']


def test_kills_after_steps_with_workers(kill_and_resume, tmp_path) -> None:
    results = kill_and_resume('--kills', 2, '--every', 7, '--interval', 5, '--steps', 30,
                              '--workers', 1, '--out', tmp_path / 'out')
    assert results['equal']
    # killed at 7, of which 6 and 7 are taken again, and at 12, of which 11 and 12
    assert results['steps_taken_twice'] >= 4
    assert len(results['megabytes']) == len(results['open_files']) == 3
