import time

import pytest

from conmim_mm.report.progress import (
    FACTS,
    PROGRESS,
    note_progress,
    note_start,
    read_json,
    read_progress,
    write_json,
)
from conmim_mm.report.run_log import RunLog, read_run_log

from .runs import training_entry, write_log

EMPTY = RunLog([], [], [])


def test_time_left(tmp_path) -> None:
    write_log(tmp_path, [training_entry(step) for step in (100, 200)])
    note_progress(tmp_path, 'running', 200, 4000, 20)
    progress = read_progress(tmp_path, read_run_log(tmp_path))
    assert (progress.state, progress.headline, progress.share) == ('running', 'Running', 0.05)
    # 3800 steps of 0.25 seconds
    assert progress.detail == 'step 200 of 4,000, epoch 1.0 of 20, about 16 min left'


@pytest.mark.parametrize('state, iteration, error, words', [
    ('finished', 10, '', 'Finished'), ('finished', 5, '', 'Ended early'),
    ('stopped', 5, '', '--resume goes on'), ('failed', 5, 'InputError: bad', 'InputError: bad')])
def test_ends(tmp_path, state, iteration, error, words) -> None:
    note_progress(tmp_path, state, iteration, 10, None, error)
    progress = read_progress(tmp_path, EMPTY)
    assert words in progress.headline and progress.detail == f'step {iteration} of 10'


def test_silence(tmp_path) -> None:
    note_progress(tmp_path, 'running', 5, 10, None)
    noted = read_json(tmp_path, PROGRESS, {})
    write_json(tmp_path, PROGRESS, noted | dict(time=time.time() - 7200))
    assert read_progress(tmp_path, EMPTY).headline.startswith('No sign of life for 2 h 0 min')
    # as long as the log grows it lives
    write_log(tmp_path, [training_entry(1)])
    assert read_progress(tmp_path, EMPTY).state == 'running'
    # and where two entries are an hour apart, two hours are no silence
    write_json(tmp_path, PROGRESS, noted)
    slow = RunLog([dict(step=step, loss=1., time=36.) for step in (100, 200)], [], [])
    assert read_progress(tmp_path, slow).state == 'running'


@pytest.mark.parametrize('content', ['', '[]', '{"iteration": "x"}', '{"iteration": 1', '\0'])
def test_damaged_notes_count_as_none(tmp_path, content) -> None:
    (tmp_path / 'report').mkdir()
    (tmp_path / 'report' / PROGRESS).write_text(content)
    progress = read_progress(tmp_path, RunLog([dict(step=1200, loss=1.)], [], []))
    assert (progress.state, progress.headline) == ('unknown', '1,200 steps logged')


def test_starts_are_counted(tmp_path) -> None:
    for iteration in (0, 40, 80):
        note_start(tmp_path, dict(command='x'), iteration)
    assert [start['iteration'] for start in read_json(tmp_path, FACTS, {})['starts']] == [0, 40, 80]
    note_start(tmp_path, dict(command='x'), 0)
    assert len(read_json(tmp_path, FACTS, {})['starts']) == 1
