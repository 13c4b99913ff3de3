"""Trackers get what scalars.json gets; what cannot work says so before training."""

import importlib.machinery
import importlib.util
import sys

import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import VISBACKENDS

from conmim_mm import InputError
from conmim_mm.utils.work_dir import log_entries
from conmim_mm.visualization.trackers import WandbRunBackend, add_trackers

from ..toy import run_cfg, write_noise_images


@pytest.fixture
def installed(monkeypatch) -> None:
    """All packages are there, and none is told where to send to."""
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: importlib.machinery.ModuleSpec(
        name, None, origin='there'))
    for name in ('WANDB_PROJECT', 'MLFLOW_TRACKING_URI', 'MLFLOW_EXPERIMENT_NAME'):
        monkeypatch.delenv(name, raising=False)


def backends(cfg: Config, *names: str) -> list[dict]:
    add_trackers(cfg, names)
    return cfg.visualizer.vis_backends


def test_beside_the_local_files(installed) -> None:
    local, tensorboard, wandb, mlflow = backends(
        Config(dict(work_dir='/runs/x', visualizer=dict(
            type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]))),
        'tensorboard', 'wandb', 'mlflow', 'wandb')
    assert local == dict(type='LocalVisBackend')
    assert tensorboard == dict(type='TensorboardVisBackend')
    assert wandb.init_kwargs == dict(project='conmim_mm', name='x', group='x')
    assert (mlflow.exp_name, mlflow.run_name) == ('conmim_mm', 'x')
    assert mlflow.tracking_uri == 'sqlite:////runs/x/mlflow.db'
    assert mlflow.artifact_location == 'file:///runs/x/mlflow_artifacts'
    for backend in (tensorboard, wandb, mlflow):
        built = VISBACKENDS.build(dict(backend) | dict(save_dir='/nowhere'))
        assert built._save_dir == '/nowhere'  # which exists from the first entry on


def test_a_config_without_a_visualizer(installed) -> None:
    for cfg in (Config(dict(work_dir='x')), Config(dict(work_dir='x', visualizer=None)),
                Config(dict(work_dir='x', visualizer=dict(type='Visualizer')))):
        assert [backend.type for backend in backends(cfg, 'tensorboard')] == [
            'LocalVisBackend', 'TensorboardVisBackend']
        assert cfg.visualizer.type == 'Visualizer'


def test_what_is_set_already_stays(installed, monkeypatch) -> None:
    mine = dict(type='WandbVisBackend', init_kwargs=dict(project='mine'))
    cfg = Config(dict(work_dir='x', visualizer=dict(type='Visualizer', vis_backends=[mine])))
    assert backends(cfg, 'wandb') == [mine]

    monkeypatch.setenv('WANDB_PROJECT', 'team')
    monkeypatch.setenv('MLFLOW_TRACKING_URI', 'http://server:5000')
    monkeypatch.setenv('MLFLOW_EXPERIMENT_NAME', 'vits')
    _, wandb, mlflow = backends(Config(dict(work_dir='x')), 'wandb', 'mlflow')
    assert wandb.init_kwargs.project == 'team' and mlflow.exp_name == 'vits'
    assert mlflow.tracking_uri == 'http://server:5000' and 'artifact_location' not in mlflow


@pytest.mark.parametrize('spec', [None, importlib.machinery.ModuleSpec('wandb', None)])
def test_not_installed(monkeypatch, spec) -> None:
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: spec)
    with pytest.raises(InputError, match='--track wandb .* pip install wandb$'):
        add_trackers(Config(dict(work_dir='x')), ['wandb'])


def test_no_such_tracker() -> None:
    with pytest.raises(InputError, match='no such tracker: aim; there are tensorboard, wandb'):
        add_trackers(Config(dict(work_dir='x')), ['aim'])


class FakeWandb:
    """As much of W&B as the backend calls; offline it asks for an account that is not there."""

    class errors:  # noqa: N801  (a module of W&B)

        class UsageError(Exception):
            pass

    def __init__(self, account: bool = True) -> None:
        self.account = account
        self.config: dict = {}

    def init(self, **_: object) -> None:
        if not self.account:
            raise self.errors.UsageError('No API key configured.')

    def define_metric(self, **_: object) -> None:
        pass


class Settings(dict):
    def update(self, values: dict, allow_val_change: bool) -> None:
        super().update(values)


def test_wandb_gets_the_config_and_no_code(monkeypatch, tmp_path) -> None:
    wandb = FakeWandb()  # it has no log_code
    wandb.config = Settings()
    monkeypatch.setitem(sys.modules, 'wandb', wandb)
    WandbRunBackend(str(tmp_path)).add_config(Config(dict(a=dict(b=1))))
    assert wandb.config == dict(a=dict(b=1))


def test_wandb_without_an_account(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, 'wandb', FakeWandb(account=False))
    with pytest.raises(InputError, match='No API key configured. .* set WANDB_MODE=offline$'):
        WandbRunBackend(str(tmp_path)).add_config(Config({}))


def test_tensorboard_gets_what_the_files_get(tmp_path) -> None:
    accumulator = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator')
    images = tmp_path / 'images'
    images.mkdir()
    cfg = Config(run_cfg(
        write_noise_images(images, count=12, side=40), tmp_path, default_hooks=dict(
            timer=dict(type='StepTimerHook'), logger=dict(type='LoggerHook', interval=1),
            checkpoint=None), log_processor=dict(type='TrainLogProcessor')))
    cfg.work_dir = str(tmp_path / 'run')
    add_trackers(cfg, ['tensorboard'])
    Runner.from_cfg(cfg).train()

    entries = list(log_entries(tmp_path / 'run'))
    assert len(entries) == 6
    events, = (tmp_path / 'run').glob('*/vis_data/events*')
    log = accumulator.EventAccumulator(str(events.parent)).Reload()
    for name in ('loss', 'hit_rate', 'lr', 'momentum', 'images_per_second', 'data_wait', 'time'):
        assert [(event.step, event.value) for event in log.Scalars(name)] == [
            (entry['step'], pytest.approx(entry[name], rel=1e-6)) for entry in entries]
    for entry in entries:  # all within the window of ten
        assert 0 < entry['data_wait'] < 1
        assert entry['data_wait'] == pytest.approx(entry['data_time'] / entry['time'], rel=1e-6)
        assert entry['images_per_second'] == pytest.approx(4 / entry['time'], rel=1e-6)
