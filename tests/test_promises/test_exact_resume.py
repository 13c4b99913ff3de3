"""A run that was stopped by a signal and resumed equals one that was not, to the last bit."""

import os
import signal
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from run_comparison import entries_by_step, run_differences

from conmim_mm.datasets import ImageFiles
from conmim_mm.engine.hooks import step_log_hook
from conmim_mm.errors import StoppedBySignal

from ..runs import STEPS, Rising, SignalAt, resumable_cfg, stop_after
from ..toy import run_cfg


def build(*args, **kwargs) -> Runner:
    return Runner.from_cfg(resumable_cfg(*args, **kwargs))


# every pair of settings comes up
@pytest.mark.parametrize('by_epoch, workers, accumulate', [
    (True, 0, 1), (False, 2, 1), (False, 0, 2), (True, 2, 2)])
def test_resumed_equals_undisturbed(images, tmp_path, by_epoch: bool, workers: int,
                                    accumulate: int) -> None:
    options = dict(by_epoch=by_epoch, workers=workers, accumulate=accumulate)
    build(images, tmp_path / 'whole', **options).train()
    # in an epoch's middle, at its end, right after, and twice in one run
    for steps in ([5], [6], [7], [2, 9]) if workers == 0 else ([5], [6]):
        work_dir = tmp_path / f'stopped_{steps}'
        for step in steps:
            stop_after(build(images, work_dir, **options), step)
        build(images, work_dir, **options).train()
        assert set(entries_by_step(work_dir)) == set(range(1, STEPS + 1))
        assert run_differences(work_dir, tmp_path / 'whole') == []


def test_loss_scale_is_resumed(images, tmp_path) -> None:
    """float16 with a scale that changes: halved by the first steps' overflow, or grown."""
    wrapper = run_cfg(images, tmp_path)['optim_wrapper'] | dict(
        type='ConMIMAmpOptimWrapper', dtype='float16', loss_scale=2.**30)
    build(images, tmp_path / 'whole', optim_wrapper=wrapper).train()
    stop_after(build(images, tmp_path / 'part', optim_wrapper=wrapper), 7)
    stopped = torch.load(tmp_path / 'part' / 'interrupted.pth', weights_only=False)
    assert stopped['optimizer']['loss_scaler']['scale'] < 2.**30
    build(images, tmp_path / 'part', optim_wrapper=wrapper).train()
    assert run_differences(tmp_path / 'part', tmp_path / 'whole') == []


def test_bounded_history_is_resumed(images, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(step_log_hook, 'KEPT_VALUES', 3)
    for name, stops in (('whole', []), ('part', [5, 9])):
        for step in stops:
            stop_after(build(images, tmp_path / name, log_processor=dict(window_size=3)), step)
        build(images, tmp_path / name, log_processor=dict(window_size=3)).train()
    assert run_differences(tmp_path / 'part', tmp_path / 'whole') == []
    histories = [
        {key: history.data[0].tolist() for key, history in torch.load(
            tmp_path / name / 'epoch_4.pth', weights_only=False)['message_hub'][
                'log_scalars'].items() if 'time' not in key}
        for name in ('whole', 'part')]
    assert histories[0] == histories[1]
    assert {len(values) for values in histories[0].values()} == {3}


def test_what_is_left_out_is_not_read(images, tmp_path, monkeypatch) -> None:
    stop_after(build(images, tmp_path), 5)
    runner = build(images, tmp_path)
    read = []
    original = ImageFiles.__getitem__

    def recording(self, index):
        read.append((index.epoch, int(index)))
        return original(self, index)

    monkeypatch.setattr(ImageFiles, '__getitem__', recording)
    runner.train()
    # step 6 is the last of three in the second epoch
    assert len(read) == (STEPS - 5) * 4
    assert [epoch for epoch, _ in read] == [1] * 4 + [2] * 12 + [3] * 12


def test_interrupted_goes_when_a_regular_one_is_there(images, tmp_path) -> None:
    stop_after(build(images, tmp_path), 5)
    assert [path.name for path in tmp_path.glob('*.pth')] == ['interrupted.pth']
    assert (tmp_path / 'last_checkpoint').read_text().endswith('interrupted.pth')
    build(images, tmp_path).train()
    assert [path.name for path in tmp_path.glob('*.pth')] == ['epoch_4.pth']


def test_signal_in_the_last_step(images, tmp_path) -> None:
    build(images, tmp_path / 'whole').train()
    stop_after(build(images, tmp_path / 'part'), STEPS)
    build(images, tmp_path / 'part').train()
    assert run_differences(tmp_path / 'part', tmp_path / 'whole') == []


class CountValidations(Hook):
    """Notes at which iteration each validation ended."""

    def __init__(self) -> None:
        self.ended = []

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self.ended.append(runner.iter)


class SignalInValidation(Hook):
    def after_val_iter(self, runner: Runner, batch_idx: int, *_: object, **__: object) -> None:
        if runner.iter == 6 and batch_idx == 1:
            os.kill(os.getpid(), signal.SIGUSR1)


def test_validation_ends_and_is_made_up_for(images, tmp_path, validated) -> None:
    def train(work_dir: Path, *hooks: Hook) -> list[int]:
        runner = build(images, work_dir, **validated)
        counter = CountValidations()
        for hook in (counter, *hooks):
            runner.register_hook(hook)
        try:
            runner.train()
        except StoppedBySignal:
            pass
        return counter.ended

    assert train(tmp_path / 'whole') == [3, 6, 9, 12]
    Rising.validations = 0
    assert train(tmp_path / 'part', SignalInValidation()) == [3]
    assert torch.load(tmp_path / 'part/interrupted.pth', weights_only=False)['meta']['iter'] == 6
    assert train(tmp_path / 'part') == [6, 9, 12]
    assert run_differences(tmp_path / 'part', tmp_path / 'whole') == []


def test_without_the_hook_that_saves_signals_are_left_alone(images, tmp_path, monkeypatch) -> None:
    runner = build(images, tmp_path, default_hooks=dict(
        checkpoint=None, stop=dict(type='StopOnSignalHook')))
    warnings = []
    monkeypatch.setattr(runner.logger, 'warning', warnings.append)
    runner.register_hook(SignalAt(2, signal.SIGINT))
    # a suite that runs in the background starts with SIGINT ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            runner.train()
    finally:
        signal.signal(signal.SIGINT, before)
    assert 'a signal will end this run without saving' in warnings[0]


def test_signals_are_given_back(images, tmp_path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    build(images, tmp_path / 'whole').train()
    stop_after(build(images, tmp_path / 'part'), 2)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
