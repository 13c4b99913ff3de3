"""What only watches a run never ends it: one warning, and the training goes on."""

import os
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.visualization import BaseVisBackend
from mmpretrain.registry import VISBACKENDS

from conmim_mm.engine.hooks import learning_monitor_hook, loader_watch_hook, step_timer_hook
from conmim_mm.engine.hooks.live_view import live_view_hook
from conmim_mm.report import facts

from ..toy import run_cfg, write_noise_images

HOOKS = dict(
    runtime_info=dict(type='StepLogHook'), timer=dict(type='StepTimerHook'),
    logger=dict(type='LoggerHook', interval=1), live=dict(type='LiveViewHook'),
    loader=dict(type='LoaderWatchHook', max_share=0., window=1, skip=0),
    learning=dict(type='LearningMonitorHook', interval=1), report=dict(type='ReportHook'))


@VISBACKENDS.register_module(force=True)
class Unreachable(BaseVisBackend):
    """A tracker whose server is gone once the run has begun."""

    experiment = None

    def _init_env(self) -> None:
        pass

    def add_config(self, config: Config, **_: object) -> None:
        pass

    def add_scalars(self, scalar_dict: dict, *_: object, **__: object) -> None:
        raise ConnectionError('no route to host')

    def close(self) -> None:
        raise ConnectionError('no route to host')


def fail(*_: object) -> None:
    raise AttributeError("module 'os' has no attribute\n'sched_getaffinity'")


def trained(tmp_path: Path, **settings: object) -> str:
    """Trains two epochs; gives what the log warned of."""
    (tmp_path / 'images').mkdir()
    images = write_noise_images(tmp_path / 'images', count=8, side=40)
    runner = Runner.from_cfg(run_cfg(images, tmp_path / 'run', default_hooks=HOOKS,
                                     log_processor=dict(type='TrainLogProcessor'), **settings))
    runner.train()
    assert runner.iter == 4
    return next((tmp_path / 'run').glob('*/*.log')).read_text()


@pytest.mark.parametrize('module, name, who', [
    (loader_watch_hook, 'cores_per_process', 'LoaderWatchHook has failed'),
    (learning_monitor_hook, 'effective_rank', 'LearningMonitorHook has failed'),
    (learning_monitor_hook, 'grace_period_end', 'LearningMonitorHook has failed'),
    (step_timer_hook, 'batch_size_of', 'StepTimerHook has failed'),
    (live_view_hook, 'terminal', 'LiveViewHook has failed'),
    (facts, 'usable_cores', 'the report of this run lacks something')])
def test_a_hook_that_fails(tmp_path, monkeypatch, module, name: str, who: str) -> None:
    monkeypatch.setattr(module, name, fail)
    log = trained(tmp_path)
    assert log.count(f'WARNING - {who}') == log.count("no attribute 'sched_getaffinity'") == 1
    assert 'training goes on' in log


@pytest.mark.parametrize('kind', ['Unreachable', 'mmpretrain.Unreachable', Unreachable])
def test_a_tracker_that_fails(tmp_path, kind: str | type) -> None:
    log = trained(tmp_path, visualizer=dict(type='Visualizer', vis_backends=[
        dict(type='LocalVisBackend'), dict(type=kind)]))
    assert log.count('Unreachable has failed and is left out from now on (ConnectionError: no '
                     'route to host); training goes on') == 1
    scalars = next((tmp_path / 'run').glob('*/vis_data/scalars.json'))
    assert len(scalars.read_text().splitlines()) == 4


def test_a_tracker_that_stands_alone(tmp_path) -> None:
    log = trained(tmp_path, visualizer=dict(type='Visualizer',
                                            vis_backends=dict(type='Unreachable')))
    assert log.count('Unreachable has failed and is left out') == 1


def test_a_system_without_affinities(tmp_path, monkeypatch) -> None:
    """As macOS."""
    monkeypatch.delattr(os, 'sched_getaffinity', raising=False)
    log = trained(tmp_path)
    assert 'has failed' not in log and 'lacks something' not in log
