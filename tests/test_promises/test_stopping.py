"""Runs of several processes that are stopped, killed and resumed, as typed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import torch
from run_comparison import run_differences

from ..conftest import ROOT, TOOLS
from ..ranks import ScriptPopen, train_on_ranks
from ..runs import dist_train, environment
from ..test_tools.test_train import images  # noqa: F401  (a fixture)
from ..toy import write_config

pytestmark = pytest.mark.slow
STEPS = 8  # four epochs of two batches of two images on two processes
# of the runs that must equal the undisturbed one
OPTIONS = ('--cfg-options', 'optim_wrapper.accumulative_counts=2',
           'train_dataloader.num_workers=1', 'train_dataloader.persistent_workers=True')

# one process gets the signal, in the middle of a step
HOOKS = '''
import os, signal
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module(force=True)
class SignalOnce(Hook):
    """Signals the process of rank 1 at a step, once in a work dir."""
    def __init__(self, step, number):
        self.step, self.number = step, number
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        done = os.path.join(runner.work_dir, 'signalled')
        if runner.rank == 1 and runner.iter + 1 == self.step and not os.path.exists(done):
            open(done, 'w').close()
            os.kill(os.getpid(), self.number)
'''


@pytest.fixture
def stoppable(images, tmp_path):  # noqa: F811
    """Writes a config whose rank 1 is signalled at a step; gives its path."""
    return lambda step, number, name: write_stoppable(tmp_path, images, step, number, name)


def write_stoppable(folder: Path, images: Path, step: int, number: int,  # noqa: F811
                    name: str) -> Path:
    (folder / 'signal_once.py').write_text(HOOKS)
    text = write_config(folder, images).read_text()
    path = folder / f'{name}.py'
    path.write_text(text.replace('dict(max_epochs=2)', 'dict(max_epochs=4)') + f'''
custom_imports = dict(imports=['conmim_mm.registration', 'signal_once'])
custom_hooks = [dict(type='SignalOnce', step={step}, number={int(number)})]
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1, max_keep_ckpts=1),
                     teacher=dict(momentum=0.9))
model['backbone']['drop_path_rate'] = 0.3
''')
    return path


@pytest.fixture(scope='module')
def whole(images, tmp_path_factory) -> Path:  # noqa: F811
    """Work dir of two processes that nothing disturbed."""
    folder = tmp_path_factory.mktemp('whole')
    path = write_stoppable(folder, images, 0, signal.SIGTERM, 'undisturbed')
    assert train_on_ranks(path, '--work-dir', folder / 'run', *OPTIONS).returncode == 0
    return folder / 'run'


def test_two_processes_resume_exactly(stoppable, whole, tmp_path) -> None:
    """A signal to one of them ends both after the same step, in an epoch's middle."""
    part = tmp_path / 'part'
    stopped = dist_train(stoppable(5, signal.SIGUSR1, 'stopped'), '--work-dir', part, *OPTIONS)
    assert stopped.returncode != 0
    # torchrun names the exit status of each process
    assert 'exitcode  : 143' in stopped.stderr
    assert 'Traceback' not in stopped.stderr.partition('ChildFailedError')[0].partition(
        'Traceback')[0]
    saved = torch.load(part / 'interrupted.pth', weights_only=False)
    assert (saved['meta']['epoch'], saved['meta']['iter'], len(saved['ranks'])) == (2, 5, 2)
    # both have accumulated one batch of two
    assert all(rank['gradients'] for rank in saved['ranks'])
    undisturbed = stoppable(0, signal.SIGTERM, 'undisturbed')
    assert train_on_ranks(undisturbed, '--work-dir', part, '--resume', *OPTIONS).returncode == 0
    assert run_differences(part, whole) == []


def test_killed_process_is_restarted(stoppable, whole, tmp_path) -> None:
    """torchrun starts all of them again, and they go on by themselves."""
    part = tmp_path / 'part'
    killed = dist_train(stoppable(6, signal.SIGKILL, 'killed'), '--work-dir', part, *OPTIONS,
                        MAX_RESTARTS='1')
    assert killed.returncode == 0
    assert (part / 'signalled').exists()
    assert run_differences(part, whole) == []


def test_another_number_of_processes(stoppable, tmp_path) -> None:
    """Refused, unless told how: then the images per step and so the schedule stay the same."""
    path = stoppable(5, signal.SIGTERM, 'stopped')
    run = path, '--work-dir', tmp_path / 'run'
    assert train_on_ranks(*run).returncode == 143
    refused = train_on_ranks(*run, '--resume', processes=1)
    assert 'processes: 2 in the checkpoint, 1 here' in refused.stderr
    assert '--elastic' in refused.stderr
    assert train_on_ranks(*run, '--resume', '--elastic', processes=1).returncode == 0
    saved = torch.load(tmp_path / 'run' / 'epoch_4.pth', weights_only=False)
    assert saved['meta']['iter'] == STEPS
    assert saved['meta']['run'] | dict(names=0, sampler_seed=0) == dict(
        world_size=1, batch_size=4, accumulative_counts=1, images=8, epoch_length=2, names=0,
        sampler_seed=0)
    assert saved['param_schedulers'][0]['_global_step'] == STEPS


ERRORS = 'errors'  # what a process printed


def wait_for(text: str, folder: Path, process: subprocess.Popen | ScriptPopen) -> None:
    """Until a log in the folder has the text."""
    for _ in range(1200):
        if any(text in path.read_text() for path in folder.rglob('*.log')):
            return
        assert process.poll() is None, (folder.parent / ERRORS).read_text()
        time.sleep(0.05)
    raise AssertionError(f'{text!r} never appeared')


@pytest.fixture
def start_endless(tmp_path):
    """Starts a training that does not end by itself, and waits until it trains."""
    started = []

    def call(start: Callable[..., subprocess.Popen | ScriptPopen],
             *command: object) -> subprocess.Popen | ScriptPopen:
        with (tmp_path / ERRORS).open('w') as errors:
            started.append(start(
                [*command, '--work-dir', tmp_path / 'run',
                 '--cfg-options', 'train_cfg.max_epochs=100000'],
                stdout=errors, stderr=errors, env=environment(tmp_path)))
        wait_for('Epoch(train)', tmp_path / 'run', started[0])
        return started[0]

    yield call
    for process in started:
        if process.poll() is None:  # the test has failed
            os.kill(process.pid, signal.SIGTERM)  # which a launcher passes on
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize('number, start', [
    (signal.SIGTERM, partial(subprocess.Popen, cwd=ROOT, start_new_session=True)),
    (signal.SIGINT, ScriptPopen)], ids=['as typed', 'at a terminal'])
def test_one_process_exits_with_143(stoppable, start_endless, tmp_path, number: int,
                                    start: Callable) -> None:
    """The signal goes to the data workers too, as from a scheduler or a terminal."""
    path = stoppable(0, signal.SIGTERM, 'endless')
    process = start_endless(start, sys.executable, TOOLS / 'train.py', path)
    os.killpg(process.pid, number)
    assert process.wait(timeout=60) == 143
    errors = (tmp_path / ERRORS).read_text()
    assert f'{number.name}: ending this step, then saving' in errors
    assert 'Traceback' not in errors
    assert (tmp_path / 'run' / 'interrupted.pth').is_file()


def test_launcher_exits_with_143(stoppable, start_endless, tmp_path) -> None:
    path = stoppable(0, signal.SIGTERM, 'endless')
    process = start_endless(partial(subprocess.Popen, cwd=ROOT, start_new_session=True),
                            TOOLS / 'dist_train.sh', path, '2')
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=60) == 143
    saved = torch.load(tmp_path / 'run' / 'interrupted.pth', weights_only=False)
    assert saved['meta']['run']['world_size'] == 2


def test_second_signal_ends_at_once(stoppable, start_endless, tmp_path) -> None:
    """In the middle of a step that does not end."""
    (tmp_path / 'stuck.py').write_text('''
import time
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module(force=True)
class Stuck(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 3:
            runner.logger.info('this step is stuck')
            time.sleep(1000)
''')
    path = stoppable(0, signal.SIGTERM, 'stuck_run')
    path.write_text(path.read_text() + '''
custom_imports['imports'].append('stuck')
custom_hooks.append(dict(type='Stuck'))
''')
    process = start_endless(ScriptPopen, sys.executable, TOOLS / 'train.py', path)
    wait_for('is stuck', tmp_path / 'run', process)
    os.kill(process.pid, signal.SIGTERM)
    time.sleep(1.5)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    assert 'SIGTERM: ending at once' in (tmp_path / ERRORS).read_text()
    assert not (tmp_path / 'run' / 'interrupted.pth').exists()


FAKE_SRUN = """#!/usr/bin/env bash
echo "$@" >> "$CALLS"
if [ "$(wc -l < "$CALLS")" = 1 ]; then exit 143; fi
"""
FAKE_SCONTROL = """#!/usr/bin/env bash
echo "scontrol $@" >> "$CALLS"
"""


@pytest.mark.parametrize('job, calls', [
    ('', ['train.py', 'train.py']), ('42', ['train.py', 'scontrol requeue 42'])])
def test_slurm_goes_on(tmp_path, job: str, calls: list[str]) -> None:
    """REQUEUE=1, with stand-ins for Slurm: its first run is stopped by a signal."""
    (tmp_path / 'bin').mkdir()
    for name, text in dict(srun=FAKE_SRUN, scontrol=FAKE_SCONTROL).items():
        (tmp_path / 'bin' / name).write_text(text)
        (tmp_path / 'bin' / name).chmod(0o755)
    variables = os.environ | dict(
        PATH=f'{tmp_path / "bin"}:{os.environ["PATH"]}', PYTHON=sys.executable, REQUEUE='1',
        CALLS=str(tmp_path / 'calls'), SLURM_JOB_ID=job)
    result = subprocess.run([TOOLS / 'slurm_train.sh', 'gpu', 'job', 'config.py', 'out'],
                            env=variables, timeout=60)
    made = (tmp_path / 'calls').read_text().splitlines()
    assert len(made) == len(calls)
    for line, words in zip(made, calls, strict=True):
        assert words in line
    assert '--launcher slurm --resume' in made[0]
    assert result.returncode == (143 if job else 0)
