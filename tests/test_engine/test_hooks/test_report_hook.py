"""The page of a real run, and that the run does not notice it."""

import html
import json
import math
import os
import random
import signal
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from run_comparison import run_differences

from conmim_mm import report
from conmim_mm.engine import ReportHook
from conmim_mm.engine.hooks import report_hook
from conmim_mm.errors import InputError, StoppedBySignal
from conmim_mm.models import CrossProcessBN
from conmim_mm.visualization.explain import Picture

from ...toy import build_model, run_cfg

STEPS = 6  # two epochs of three batches


class At(Hook):
    """Does something in the middle of a step."""

    def __init__(self, step: int, action) -> None:
        self.step, self.action = step, action

    def before_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        if runner.iter + 1 == self.step:
            self.action()


def train(images: Path, work_dir: Path, *hooks: Hook, hook: dict | None = None,
          **overrides) -> Runner:
    cfg = run_cfg(images, work_dir, **overrides)
    cfg['default_hooks'].update(
        checkpoint=dict(type='AtomicCheckpointHook', interval=2),
        logger=dict(type='LoggerHook', interval=1), stop=dict(type='StopOnSignalHook'),
        **({} if hook is None else dict(report=dict(type='ReportHook') | hook)))
    runner = Runner.from_cfg(cfg)
    for other in hooks:
        runner.register_hook(other)
    runner.train()
    return runner


@pytest.fixture
def explained(monkeypatch) -> list:
    """An explanation that does what none may; it notes with what it was called."""
    calls = []

    def explain_samples(model, inputs, max_images):
        calls.append((model.training, {key: value.shape for key, value in inputs.items()}))
        model.eval()
        torch.rand(3), np.random.rand(3), random.random()
        return [Picture('one', 'A picture', 'Words.', np.zeros((4, 4, 3), np.uint8))]

    module = ModuleType('explain')
    module.explain_samples, module.Picture = explain_samples, Picture
    monkeypatch.setitem(sys.modules, 'conmim_mm.visualization.explain', module)
    return calls


@pytest.fixture
def at_once(monkeypatch) -> dict:
    """Settings of a hook that updates in every step, whatever that costs."""
    monkeypatch.setattr(report_hook, 'MAX_TIME_SHARE', math.inf)
    return dict(interval=0, picture_interval=0)


def progress(work_dir: Path) -> dict:
    return json.loads((work_dir / 'report' / 'progress.json').read_text())


def test_a_run_with_it_equals_one_without(images, tmp_path, explained, at_once) -> None:
    """To the last bit, with drop path and with pages and pictures in every step."""
    model = dict(model=run_cfg(images, tmp_path)['model'])
    model['model']['backbone']['drop_path_rate'] = 0.3
    train(images, tmp_path / 'without', **model)
    train(images, tmp_path / 'with', hook=at_once, **model)
    assert len(explained) == STEPS + 1
    assert explained[0] == (True, dict(
        student_view=(4, 3, 32, 32), teacher_view=(4, 3, 32, 32), mask=(4, 16)))
    assert run_differences(tmp_path / 'with', tmp_path / 'without') == []


def test_a_finished_run(images, tmp_path, explained, at_once) -> None:
    states = []
    look = At(STEPS, lambda: states.append(progress(tmp_path / 'run')))
    train(images, tmp_path / 'run', look, hook=at_once)
    assert (states[0]['state'], states[0]['max_iters']) == ('running', STEPS)
    end = progress(tmp_path / 'run')
    assert (end['state'], end['iteration'], end['max_epochs']) == ('finished', STEPS, 2)
    page = html.unescape((tmp_path / 'run' / 'report.html').read_text())
    for text in ('Finished', 'A picture', 'step 6 of 6', 'ln 16 = 2.77', 'ImageFiles'):
        assert text in page
    assert page.count('alt="teacher\'s view"') == 4


def test_a_trial_run_has_no_time_for_pictures(images, tmp_path, explained) -> None:
    train(images, tmp_path / 'run', hook=dict(interval=600))
    assert explained == []
    assert 'No pictures of the model yet' in (tmp_path / 'run' / 'report.html').read_text()


def test_a_signal(images, tmp_path) -> None:
    send = At(4, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(StoppedBySignal):
        train(images, tmp_path / 'run', send, hook={})
    assert (progress(tmp_path / 'run')['state'], progress(tmp_path / 'run')['iteration']) == (
        'stopped', 4)
    assert 'Stopped by a signal' in (tmp_path / 'run' / 'report.html').read_text()


def test_an_error(images, tmp_path) -> None:
    def fail() -> None:
        raise InputError('the <b>disk</b>\nis full')

    with pytest.raises(InputError):
        train(images, tmp_path / 'run', At(4, fail), hook={})
    assert progress(tmp_path / 'run')['state'] == 'failed'
    page = (tmp_path / 'run' / 'report.html').read_text()
    assert 'InputError: the &lt;b&gt;disk&lt;/b&gt; is full' in page
    assert 'step 3 of 6' in page


def test_a_failing_report_ends_nothing(images, tmp_path, monkeypatch) -> None:
    def fail(work_dir: Path) -> None:
        raise OSError('no space')

    monkeypatch.setattr(report, 'build_report', fail)
    warnings = []
    monkeypatch.setattr('logging.Logger.warning', lambda self, text, *_: warnings.append(text))
    runner = train(images, tmp_path / 'run', hook=dict(interval=0))
    assert runner.iter == STEPS
    told = [text for text in warnings if 'report' in text]
    assert told == ['the report of this run lacks something (update: OSError: no space); training '
                    'goes on']


def test_only_the_first_process_writes(monkeypatch) -> None:
    monkeypatch.setattr(report_hook, 'is_main_process', lambda: False)
    hook = ReportHook(interval=0, picture_interval=0)
    runner = None  # which it does not even look at
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    hook.train_failed(runner)
    hook.after_run(runner)


def test_pace(monkeypatch) -> None:
    now = [1000.]
    monkeypatch.setattr(report_hook.time, 'monotonic', lambda: now[0])
    pace = report_hook.TimeBudget(30.)
    assert pace.is_due()
    for cost, pause in ((0.01, 30.), (0.5, 100.)):  # never more than a two hundredth
        with pace.measured():
            now[0] += cost
        now[0] += pause - 0.1
        assert not pace.is_due()
        now[0] += 0.2
        assert pace.is_due()


def test_models_that_need_other_processes() -> None:
    model = build_model()
    assert not report_hook.needs_other_processes(model, 2)
    model.neck.extra = CrossProcessBN(4)
    assert report_hook.needs_other_processes(model, 2)
    assert not report_hook.needs_other_processes(model, 1)


def test_negative_interval() -> None:
    with pytest.raises(InputError, match='must not be negative'):
        ReportHook(interval=-1.)
