"""What a checkpoint lacks, and a log that cannot be written, as a run meets them."""

import errno
import pickle
from collections.abc import Callable
from logging import FileHandler
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from conmim_mm.apis import train
from conmim_mm.apis.build_runner import build_runner
from conmim_mm.apis.train import check_resumable, choose_start, run_training
from conmim_mm.errors import InputError
from conmim_mm.utils.cli import explain
from conmim_mm.utils.work_dir_lock import WorkDirInUseError

from ..toy import run_cfg


@pytest.fixture(scope='module')
def saved(images, tmp_path_factory) -> Path:
    work_dir = tmp_path_factory.mktemp('saved') / 'run'
    Runner.from_cfg(run_cfg(images, work_dir)).train()
    return work_dir / 'epoch_1.pth'


def config(images: Path, work_dir: Path, **more: object) -> Config:
    return Config(run_cfg(images, work_dir, launcher='none', **more))


def changed_copy(saved: Path, folder: Path, change: Callable[[dict], object]) -> Path:
    """A checkpoint like the saved one, but for a change."""
    checkpoint = torch.load(saved, weights_only=False)
    change(checkpoint)
    path = folder / 'epoch_1.pth'
    torch.save(checkpoint, path)
    return path


def without(*names: str) -> Callable[[dict], object]:
    return lambda checkpoint: [checkpoint.pop(name) for name in names]


UNFIT = {
    'best': without('optimizer', 'param_schedulers'),
    'no record': without('message_hub'),
    'no weights': without('state_dict'),
    'no meta': without('meta'),
    'a list of weights': lambda checkpoint: checkpoint.update(state_dict=[1]),
    'a list of records': lambda checkpoint: checkpoint.update(message_hub=[1]),
    'an epoch in words': lambda checkpoint: checkpoint['meta'].update(epoch='two'),
    'an epoch below 0': lambda checkpoint: checkpoint['meta'].update(iter=-1),
    'schedules that are none': lambda checkpoint: checkpoint.update(param_schedulers='x'),
}
UNFIT_INSIDE = {
    'numbers for weights': lambda checkpoint: checkpoint['optimizer'].update(state=7),
    'groups of others': lambda checkpoint: checkpoint['optimizer'].update(param_groups=[]),
    'schedules of numbers': lambda checkpoint: checkpoint.update(param_schedulers=[1]),
    'records of numbers': lambda checkpoint: checkpoint['message_hub'].update(log_scalars=3),
    'facts that are a list': lambda checkpoint: checkpoint['meta'].update(run=[1]),
    'random states of numbers': lambda checkpoint: checkpoint.update(ranks=[3]),
}


@pytest.mark.parametrize('kind', UNFIT)
def test_a_checkpoint_that_lacks_a_part_is_not_resumed(images, saved, tmp_path, kind) -> None:
    path = changed_copy(saved, tmp_path, UNFIT[kind])
    with pytest.raises(InputError, match='epoch_1.pth cannot be resumed from: it has no '):
        choose_start(config(images, tmp_path / 'run'), str(path))
    with pytest.raises(InputError, match='epoch_1.pth cannot be resumed from: it has no '):
        choose_start(config(images, tmp_path / 'run', resume=True, load_from=str(path)))


@pytest.mark.parametrize('kind', UNFIT_INSIDE)
def test_a_part_of_another_kind_is_one_line(images, saved, tmp_path, kind) -> None:
    path = changed_copy(saved, tmp_path, UNFIT_INSIDE[kind])
    with pytest.raises(InputError) as caught:
        run_training(config(images, tmp_path / 'run'), str(path))
    assert '\n' not in str(caught.value)
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_mmengines_own_key_looks_at_what_it_resumes(images, tmp_path) -> None:
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'iter_3.pth').write_bytes(b'')
    with pytest.raises(InputError, match='none of its checkpoints can be used'):
        choose_start(config(images, tmp_path / 'run', resume=True))


def test_the_copy_of_the_config_follows_no_link(images, tmp_path) -> None:
    (tmp_path / 'mine').write_text('mine')
    cfg = config(images, tmp_path / 'run')
    object.__setattr__(cfg, '_filename', str(tmp_path / 'toy.py'))
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'toy.py').symlink_to(tmp_path / 'mine')
    build_runner(cfg)
    assert (tmp_path / 'mine').read_text() == 'mine'
    assert not (tmp_path / 'run' / 'toy.py').is_symlink()


def test_where_only_mmengine_reads_it_is_not_looked_at() -> None:
    check_resumable('s3://bucket/epoch_1.pth', with_schedules=True)


def test_a_full_gpu_is_not_a_checkpoints_fault(images, tmp_path, monkeypatch) -> None:
    def fill(_: Runner) -> None:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(Runner, 'load_or_resume', fill)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        build_runner(config(images, tmp_path)).load_or_resume()


class UnsendableError(Exception):
    """It pickles, and cannot be made again."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f'{path}: {reason}')


@pytest.mark.parametrize('error, kind', [
    (WorkDirInUseError('in use'), WorkDirInUseError), (OSError(28, 'full'), OSError),
    (UnsendableError('file', 'reason'), InputError)])
def test_all_processes_get_the_same_error(monkeypatch, error, kind) -> None:
    sent = []
    monkeypatch.setattr(train, 'broadcast_object_list', lambda found: sent.append(
        pickle.dumps(found)))
    with pytest.raises(kind) as first:
        train.broadcast_from_main(Mock(side_effect=error))
    monkeypatch.setattr(train, 'get_rank', lambda: 1)
    monkeypatch.setattr(train, 'broadcast_object_list', lambda found: found.__setitem__(
        slice(None), pickle.loads(sent[0])))
    with pytest.raises(kind) as other:
        train.broadcast_from_main(Mock())
    assert str(first.value) == str(other.value) == str(error)


class FillDisk(Hook):
    """Lets the log and the numbers go to a full disk."""

    def before_train(self, runner: Runner) -> None:
        backend, = runner.visualizer._vis_backends.values()
        backend._init_env()
        backend._scalar_save_file = '/dev/full'
        handler, = (one for one in runner.logger.handlers if isinstance(one, FileHandler))
        handler.setStream(open('/dev/full', 'w'))


def test_a_log_that_cannot_be_written_ends_no_run(images, tmp_path, capfd) -> None:
    runner = build_runner(config(images, tmp_path, log_level='INFO'))
    runner.register_hook(FillDisk())
    runner.train()
    for handler in runner.logger.handlers[:]:  # which the models of other tests would write to
        runner.logger.removeHandler(handler)
    assert (tmp_path / 'epoch_2.pth').is_file()
    errors = capfd.readouterr().err
    assert errors.count('the log of this run lacks something') == 1 and 'Traceback' not in errors


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ESTALE])
def test_what_the_machine_refuses_is_one_line(number: int) -> None:
    reason = explain(OSError(number, 'Some reason', '/work_dirs/run'))
    assert reason.startswith('cannot read or write /work_dirs/run: Some reason')
    assert explain(OSError(errno.EBADF, 'A defect')) is None
