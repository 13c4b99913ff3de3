"""What a step's time is made of, on a clock that the test turns."""

import time
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub

from conmim_mm.engine import StepTimerHook
from conmim_mm.engine.hooks import step_timer_hook

# seconds of waiting, of the step itself and of hooks after it, and images
STEPS = [(1, 3, 2, 8), (1, 3, 0, 8), (5, 3, 0, 4), (0, 2, 0, 8)]


@pytest.fixture
def run(monkeypatch):
    """Takes the steps of a run with a window of three; returns what is logged after each."""
    now = [1000.]
    monkeypatch.setattr(time, 'time', lambda: now[0])

    def run(name: str, start: int = 0) -> list[dict]:
        hooks: list = [StepTimerHook()]
        runner = SimpleNamespace(
            message_hub=MessageHub.get_instance(name), hooks=hooks, register_hook=hooks.append,
            iter=start, max_iters=start + len(STEPS),
            log_processor=SimpleNamespace(window_size=3))

        def call(point: str, *args) -> None:
            for hook in list(hooks):
                getattr(hook, point)(runner, *args)

        for point in ('before_run', 'before_run', 'before_train', 'before_train_epoch'):
            call(point)
        assert len(hooks) == 2
        logged = []
        for waiting, step, other_hooks, images in STEPS:
            batch = dict(inputs=dict(student_view=torch.zeros(images, 3)))
            now[0] += waiting
            call('before_train_iter', 0, batch)
            now[0] += step
            hooks[0].after_train_iter(runner, 0, batch)
            now[0] += other_hooks
            hooks[1].after_train_iter(runner, 0, batch)
            runner.iter += 1
            logged.append({name.removeprefix('train/'): scalar.current() for name, scalar
                           in runner.message_hub.log_scalars.items()}
                          | dict(eta=runner.message_hub.get_info('eta')))
        return logged

    return run


def test_sums_over_the_window(run) -> None:
    logged = run('step timer')
    assert [entry['data_time'] for entry in logged] == [1, 1, 5, 0]  # not the hooks' two seconds
    assert [entry['time'] for entry in logged] == [4, 6, 8, 2]  # but all of it here
    assert [entry['data_wait'] for entry in logged] == [1 / 4, 2 / 10, 7 / 18, 6 / 16]
    assert [entry['images_per_second'] for entry in logged] == [8 / 4, 16 / 10, 20 / 18, 20 / 16]


def test_images_of_all_processes(run, monkeypatch) -> None:
    monkeypatch.setattr(step_timer_hook, 'get_world_size', lambda: 8)
    assert run('step timer of eight')[0]['images_per_second'] == 8 * 8 / 4


def test_time_left_counts_from_a_resume_on(run) -> None:
    assert [entry['eta'] for entry in run('resumed step timer', start=100)] == [12, 10, 6, 0]


def test_a_validation_counts_nowhere(monkeypatch) -> None:
    """One of seven seconds before the second step, of a second's wait and three seconds."""
    now = [1000.]
    monkeypatch.setattr(time, 'time', lambda: now[0])
    hook, batch = StepTimerHook(), dict(inputs=dict(student_view=torch.zeros(8, 3)))
    runner = SimpleNamespace(message_hub=MessageHub.get_instance('validated'), iter=0, max_iters=5,
                             log_processor=SimpleNamespace(window_size=3), val_dataloader=[0, 1])
    hook.before_train(runner)
    hook.before_train_iter(runner, 0, batch)
    now[0] += 3
    hook.after_train_iter(runner, 0, batch)
    hook.begin_waiting()

    hook.before_val(runner)
    hook.before_val_epoch(runner)
    hook.before_val_iter(runner, 0)
    now[0] += 7
    hook.after_val_iter(runner, 0)
    hook.after_val_epoch(runner)
    hook.after_val(runner)
    assert runner.message_hub.get_info('eta') == 4 * 3

    runner.iter, now[0] = 1, now[0] + 1
    hook.before_train_iter(runner, 1, batch)
    now[0] += 3
    hook.after_train_iter(runner, 1, batch)
    scalars = runner.message_hub.log_scalars
    assert scalars['train/data_time'].current() == 1 and scalars['train/time'].current() == 4
    assert scalars['val/time'].current() == 7
