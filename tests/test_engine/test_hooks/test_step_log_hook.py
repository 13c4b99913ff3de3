"""The log of a step says what MMEngine's says, and costs no more late in a run than early."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import RuntimeInfoHook
from mmengine.logging import MessageHub
from mmengine.runner import LogProcessor, Runner
from run_comparison import entries_by_step
from torch.overrides import TorchFunctionMode

from conmim_mm.engine import GuardedOptimWrapper, StepLogHook
from conmim_mm.engine.hooks import step_log_hook
from conmim_mm.engine.hooks.step_log_hook import KEPT_VALUES, longest_window

from ...toy import run_cfg


class CountReads(TorchFunctionMode):
    """Counts what brings a number from the device to Python."""

    reads = ('tolist', 'item', '__bool__', '__int__', '__float__', 'cpu', 'numpy')

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += getattr(func, '__name__', '') in self.reads
        return func(*args, **(kwargs or {}))


def runner_with(name: str, accumulate: int = 1) -> SimpleNamespace:
    """As much of a runner as the hook looks at, after its first batch."""
    model = torch.nn.Linear(2, 1)
    wrapper = GuardedOptimWrapper(
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=accumulate)
    wrapper.update_params(model(torch.ones(1, 2)).mean())
    return SimpleNamespace(
        optim_wrapper=wrapper, message_hub=MessageHub.get_instance(name), epoch=0, iter=0,
        max_epochs=1, max_iters=8, log_processor=LogProcessor(), train_dataloader=[None] * 8)


@pytest.mark.parametrize('hook, accumulate, reads', [
    (StepLogHook(), 1, 1),
    (StepLogHook(), 2, 3),  # no step yet, so nothing is certain to be there
    (RuntimeInfoHook(), 1, 3),
])
def test_all_numbers_in_one_read(hook: RuntimeInfoHook, accumulate: int, reads: int) -> None:
    runner = runner_with(f'reads of {type(hook).__name__} {accumulate}', accumulate)
    runner.train_dataloader = type('Loader', (list,), dict(dataset=None))([None] * 8)
    values = dict(loss=torch.tensor(0.1), hit_rate=torch.tensor(1 / 3), other=torch.tensor(-2.5))
    hook.before_train(runner)
    with CountReads() as count:
        hook.after_train_iter(runner, 0, outputs=values)
    assert count.count == reads
    logged = {key: runner.message_hub.get_scalar(f'train/{key}').current() for key in values}
    assert logged == {key: value.item() for key, value in values.items()}


def test_a_run_logs_the_same(images, tmp_path) -> None:
    logs = []
    for kind in ('RuntimeInfoHook', 'StepLogHook'):
        folder = tmp_path / kind
        folder.mkdir()
        cfg = run_cfg(images, folder, epochs=4, default_hooks=dict(
            runtime_info=dict(type=kind), logger=dict(type='LoggerHook', interval=1)))
        cfg['optim_wrapper']['type'] = 'GuardedOptimWrapper'
        Runner.from_cfg(cfg).train()
        entries = entries_by_step(folder)
        logs.append({step: {key: value for key, value in entry.items() if 'time' not in key}
                     for step, entry in entries.items()})
    assert len(logs[0]) == 12 and {'loss', 'hit_rate', 'grad_norm'} <= set(logs[0][12])
    assert logs[0] == logs[1]


def test_history_is_bounded_also_of_a_longer_one(images, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(step_log_hook, 'KEPT_VALUES', 3)
    cfg = run_cfg(images, tmp_path, epochs=4, log_processor=dict(window_size=2))
    cfg['default_hooks']['runtime_info'] = dict(type='StepLogHook')
    runner = Runner.from_cfg(cfg)
    for _ in range(20):  # as of a checkpoint from before
        runner.message_hub.update_scalar('train/loss', 1.)
        runner.message_hub.update_scalar('val/score', 1.)
    runner.train()
    lengths = {key: len(history.data[0])
               for key, history in runner.message_hub.log_scalars.items()}
    assert lengths.pop('val/score') == 20  # few of them, and not this hook's
    assert 'train/momentum' in lengths and set(lengths.values()) == {3}


@pytest.mark.parametrize('processor, expected', [
    (dict(), KEPT_VALUES),
    (dict(window_size=20_000), 20_000),
    (dict(custom_cfg=[dict(data_src='loss', method_name='mean', window_size=12_000)]), 12_000),
    (dict(custom_cfg=[dict(data_src='loss', method_name='mean', window_size='epoch')]), 30_000),
    (dict(custom_cfg=[dict(data_src='loss', method_name='mean', window_size='global')]), 90_000),
    (dict(custom_cfg=[dict(data_src='loss', method_name='min')]), 90_000),
])
def test_as_long_as_the_log_looks_back(processor: dict, expected: int) -> None:
    assert longest_window(LogProcessor(**processor), 30_000, 90_000) == expected
