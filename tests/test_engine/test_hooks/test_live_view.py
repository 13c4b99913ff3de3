"""The line of a live view: what it says, how it fits, and what it leaves behind."""

import io
import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub, MMLogger
from mmengine.runner import Runner
from rich.console import Console
from rich.live import Live

from conmim_mm.engine import LiveViewHook, TeacherUpdateHook
from conmim_mm.engine.hooks.live_view import live_view_hook
from conmim_mm.engine.hooks.live_view import terminal as terminal_lines
from conmim_mm.engine.hooks.live_view.line import LiveLine, format_clock
from conmim_mm.engine.hooks.live_view.terminal import LinesAbove, display_below

from ...toy import run_cfg

FULL = LiveLine(
    done=6 * 625 + 340, steps=800 * 625, epoch=7, epochs=800, epoch_step=340, epoch_steps=625,
    seconds_left=400_000, loss=3.2144, lr=1.5e-3, momentum=0.99604, images_per_second=2112.6,
    data_wait=0.034, memory=21.3e9)


class Terminal(io.StringIO):
    """A terminal of which all that was written to it is kept."""

    def isatty(self) -> bool:
        return True


def shown(line: LiveLine, width: int) -> str:
    file = io.StringIO()
    Console(file=file, force_terminal=True, color_system=None, width=width).print(line)
    return file.getvalue()


def test_all_of_it_in_120_columns() -> None:
    assert shown(FULL, 120).strip() == (
        'epoch 7/800  step 340/625  1%  left 4d 15:06  loss 3.214  lr 1.5e-03  momentum 0.9960  '
        '2,113 img/s  wait 3%  21.3 GB')


def test_what_matters_most_in_60_columns() -> None:
    assert shown(FULL, 60).strip() == 'step 340/625  1%  left 4d 15:06  loss 3.214  2,113 img/s'


def test_one_line_at_any_width() -> None:
    for width in range(24, 160):
        text, = shown(FULL, width).splitlines()
        assert len(text) <= width - 3
        by_steps, = shown(LiveLine(340, 1400, loss=3.2144), width).splitlines()
        assert len(by_steps) <= width - 3 and by_steps.startswith('step 340/1400  24%')


def test_the_bar_takes_what_is_left() -> None:
    line = LiveLine(2, 2, loss=1.)
    used = len('step 2/2  100%    loss 1.000')
    assert line.fit(45)[1] == 45 - used
    assert line.fit(used + 5)[1] == 5 and line.fit(used + 4)[1] == 0
    # three columns stay free
    assert shown(line, 48).strip() == f'step 2/2  100%  {"━" * (45 - used)}  loss 1.000'


def test_what_is_not_known() -> None:
    line = LiveLine(0, 0, loss=float('nan'), lr=None, seconds_left=float('inf'))
    assert shown(line, 120).split() == ['step', '0/0', '0%', 'loss', 'nan']


@pytest.mark.parametrize('seconds, text', [
    (-1, '0:00'), (7.4, '0:07'), (187, '3:07'), (3787, '1:03:07'), (86400 * 2 + 3787, '2d 01:03'),
])
def test_duration(seconds: float, text: str) -> None:
    assert format_clock(seconds) == text


def sit_down(monkeypatch) -> Terminal:
    """Makes both streams of this process one terminal. (Of a fixture pytest would undo it.)"""
    terminal = Terminal()
    monkeypatch.setattr(sys, 'stdout', terminal)
    monkeypatch.setattr(sys, 'stderr', terminal)
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '150')
    return terminal


def live_on(terminal: Terminal) -> Live:
    console = Console(file=terminal, force_terminal=True, color_system=None, width=60)
    return Live('THE LINE', console=console, auto_refresh=False, redirect_stdout=False,
                redirect_stderr=False)


def test_lines_go_above_and_all_is_put_back(monkeypatch, tmp_path) -> None:
    terminal = sit_down(monkeypatch)
    live = live_on(terminal)
    logger = MMLogger(name='above', log_file=str(tmp_path / 'log'))
    MMLogger._instance_dict['above'] = logger
    to_terminal, to_file = logger.handlers
    before = to_terminal.stream, list(to_terminal.filters), sys.stdout, sys.stderr, to_file.stream
    with pytest.raises(KeyboardInterrupt), display_below(live):
        logger.info('Epoch(train)  [1][20/40]  loss: 1.0')
        logger.info('Epoch(val)  [1][4/4]  ' + 'x' * 70)
        print('[red]as it is[/red]', end='')
        print(' to the end')
        print('begun', file=sys.stderr, end='')
        raise KeyboardInterrupt
    del MMLogger._instance_dict['above']
    assert before == (
        to_terminal.stream, to_terminal.filters, sys.stdout, sys.stderr, to_file.stream)
    text = terminal.getvalue()
    assert 'x' * 70 in text and 'Epoch(train)' not in text  # not broken at the 60th column
    assert '[red]as it is[/red] to the end\n' in text and 'begun\n' in text
    assert text.endswith('THE LINE\n\x1b[?25h')
    assert text.rindex('\x1b[?25h') > text.rindex('\x1b[?25l')  # the cursor is there
    assert 'Epoch(train)  [1][20/40]' in (tmp_path / 'log').read_text()


def test_a_data_worker_draws_no_line(monkeypatch) -> None:
    terminal = Terminal()
    live = live_on(terminal)
    live.start()
    stream = LinesAbove(live.console, terminal)
    drawn = terminal.getvalue()
    monkeypatch.setattr(terminal_lines.os, 'getpid', lambda: -1)
    stream.write('from a worker\n')
    assert terminal.getvalue() == drawn + 'from a worker\n'
    live.stop()


def test_a_handler_of_a_closed_terminal_is_left_alone() -> None:
    terminal = Terminal()
    handler = logging.StreamHandler(terminal)
    assert terminal_lines.is_to_terminal(handler)
    terminal.close()
    assert not terminal_lines.is_to_terminal(handler)


def test_a_run_that_fails_in_its_fifth_step(images, tmp_path, monkeypatch) -> None:
    def fail(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == 4:
            assert sys.stderr is not terminal
            raise RuntimeError('out of memory')

    terminal = sit_down(monkeypatch)
    monkeypatch.setattr(TeacherUpdateHook, 'before_train_iter', fail)
    runner = Runner.from_cfg(run_cfg(images, tmp_path, default_hooks=dict(
        timer=dict(type='StepTimerHook'), checkpoint=None,
        live=dict(type='LiveViewHook', redraws_per_second=1e9))))
    with pytest.raises(RuntimeError, match='out of memory'):
        runner.train()
    assert sys.stderr is terminal and sys.stdout is terminal

    drawn = terminal.getvalue().replace('\r', '\n').splitlines()
    for done, text in enumerate(('epoch 1/2  step 1/3', 'epoch 1/2  step 2/3',
                                 'epoch 1/2  step 3/3', 'epoch 2/2  step 1/3'), 1):
        line = next(line for line in drawn if text in line)
        for part in (f'{done / 6:.0%}', 'left 0:0', 'loss ', 'lr ', 'momentum 0.9', ' img/s',
                     'wait ', ' GB'):
            assert part in line


@pytest.fixture
def runner(tmp_path) -> SimpleNamespace:
    """As much of a runner as the hook looks at."""
    logger = MMLogger(name='drawing', log_file=str(tmp_path / 'log'))
    return SimpleNamespace(iter=0, max_iters=9, logger=logger, train_loop=None,
                           message_hub=MessageHub('drawing'))


def test_a_failure_to_draw_does_not_end_the_run(runner, monkeypatch) -> None:
    terminal = sit_down(monkeypatch)
    monkeypatch.setattr(live_view_hook, 'peak_memory', lambda: 'much')
    hook = LiveViewHook()
    hook.before_train(runner)
    for _ in range(2):
        hook.after_train_iter(runner, 0)
    log = Path(runner.logger.log_file).read_text()
    assert log.count('no live view any more: TypeError') == 1 and sys.stderr is terminal


def test_draws_now_and_then_and_at_the_end(runner, monkeypatch) -> None:
    terminal = sit_down(monkeypatch)
    now = [0.]
    monkeypatch.setattr(live_view_hook.time, 'monotonic', lambda: now[0])
    hook = LiveViewHook(redraws_per_second=2)
    hook.before_train(runner)
    drawn = []
    for runner.iter in range(9):
        before = len(terminal.getvalue())
        hook.after_train_iter(runner, 0)
        if len(terminal.getvalue()) > before:
            drawn.append(runner.iter)
        now[0] += 0.2
    hook.after_train(runner)
    assert drawn == [0, 3, 6, 8] and 'step 9/9  100%' in terminal.getvalue()


@pytest.mark.parametrize('rank, drawn', [(0, True), (1, False)])
def test_only_the_first_process_draws(runner, monkeypatch, rank: int, drawn: bool) -> None:
    terminal = sit_down(monkeypatch)
    monkeypatch.setattr(live_view_hook, 'is_main_process', lambda: rank == 0)
    hook = LiveViewHook()
    hook.before_train(runner)
    hook.after_train_iter(runner, 0)
    hook.after_train(runner)
    assert ('step 1/9' in terminal.getvalue()) == drawn


@pytest.mark.parametrize('term, there', [('xterm', True), ('dumb', False)])
def test_where_to_draw(monkeypatch, term: str, there: bool) -> None:
    terminal = sit_down(monkeypatch)
    monkeypatch.setenv('TERM', term)
    assert (live_view_hook.terminal() is terminal) == there
    # nor where the log is piped
    reading, writing = os.pipe()
    with os.fdopen(writing, 'w') as pipe, os.fdopen(reading):
        monkeypatch.setattr(sys, 'stdout', pipe)
        assert live_view_hook.terminal() is None
    monkeypatch.setattr(sys, 'stdout', terminal)
    monkeypatch.setattr(sys, 'stderr', io.StringIO())
    assert live_view_hook.terminal() is None
