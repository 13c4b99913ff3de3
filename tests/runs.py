"""Fixtures of tests that start whole runs, and runs that are stopped and go on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import METRICS
from mmengine.runner import Runner

from conmim_mm.errors import StoppedBySignal
from conmim_mm.models import ConMIM
from conmim_mm.utils.work_dir import newest_complete_checkpoint

from .conftest import ROOT, TOOLS
from .toy import model_cfg, run_cfg, write_noise_images

STEPS = 12  # of a run that goes on: four epochs of three batches


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    return write_noise_images(tmp_path_factory.mktemp('images'), count=12, side=40)


@METRICS.register_module(force=True)
class Rising(BaseMetric):
    """A score that is one higher after every validation."""

    validations = 0

    def process(self, data_batch: dict, data_samples: list) -> None:
        self.results.append(0.)

    def compute_metrics(self, results: list) -> dict:
        type(self).validations += 1
        return dict(score=self.validations)


@pytest.fixture
def validated(images, monkeypatch) -> dict:
    """Settings of a run that validates after every epoch, by looking at four batches."""
    monkeypatch.setattr(ConMIM, 'val_step', lambda self, data: [None], raising=False)
    monkeypatch.setattr(Rising, 'validations', 0)
    return dict(
        val_dataloader=run_cfg(images, images)['train_dataloader'] | dict(batch_size=3),
        val_cfg=dict(), val_evaluator=dict(type='mmengine.Rising'))


def resumable_cfg(images: Path, work_dir: Path, by_epoch: bool = True, workers: int = 0,
                  accumulate: int = 1, **overrides) -> dict:
    """Four epochs or twelve iterations that go on from what is there; every number is logged."""
    newest = newest_complete_checkpoint(work_dir)
    work_dir.mkdir(exist_ok=True)
    cfg = run_cfg(
        images, work_dir, epochs=4, accumulate=accumulate,
        # drop path draws random numbers in every step
        model=model_cfg(drop_path_rate=0.3),
        resume=newest is not None, load_from=str(newest) if newest else None,
        default_hooks=dict(
            checkpoint=dict(type='AtomicCheckpointHook', interval=-1, by_epoch=by_epoch),
            logger=dict(type='LoggerHook', interval=1),
            runtime_info=dict(type='StepLogHook'),
            stop=dict(type='StopOnSignalHook')))
    loader = cfg['train_dataloader']
    loader.update(num_workers=workers, persistent_workers=workers > 0)
    if not by_epoch:
        loader['sampler']['type'] = 'InfiniteSeededSampler'
        cfg['train_cfg'] = dict(type='ResumableIterLoop', max_iters=STEPS)
        cfg['param_scheduler'] = dict(
            type='WarmupCosineLR', warmup=3, eta_min=1e-5, by_epoch=False)
        cfg['log_processor'] = dict(by_epoch=False)
    return cfg | overrides


class SignalAt(Hook):
    """Sends this process a signal in the middle of a step."""

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        self.step, self.number = step, number

    def before_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        if runner.iter + 1 == self.step:
            os.kill(os.getpid(), self.number)


def stop_after(runner: Runner, step: int) -> None:
    """Trains until a signal comes in the middle of a step."""
    runner.register_hook(SignalAt(step))
    with pytest.raises(StoppedBySignal):
        runner.train()


def environment(folder: Path) -> dict[str, str]:
    """Of processes that a test starts: one thread each, and the modules in a folder."""
    return os.environ | dict(
        PYTHONPATH=f'{folder}:{ROOT}', PYTHON=sys.executable, OMP_NUM_THREADS='1')


def dist_train(config: Path, *options: object, processes: int = 2,
               **variables: str) -> subprocess.CompletedProcess:
    """Runs ``tools/dist_train.sh`` with a config and the modules beside it."""
    return subprocess.run(
        [TOOLS / 'dist_train.sh', config, str(processes), *options], timeout=600, cwd=ROOT,
        text=True, capture_output=True, env=environment(config.parent) | variables)


HOLD = '''
import multiprocessing, sys, time
from pathlib import Path
from conmim_mm.utils.work_dir_lock import locked
with locked(Path(sys.argv[1])):
    child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))
    child.start()  # a data worker, which outlives the process
    print(child.pid, flush=True)
    sys.stdin.read()
    child.kill()
'''


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of a folder until its input is closed, and its child."""
    process = subprocess.Popen([sys.executable, '-c', HOLD, tmp_path / 'run'], text=True,
                               env=environment(ROOT), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child = int(process.stdout.readline())
    yield process
    process.kill()
    os.kill(child, signal.SIGKILL)
    process.wait()
