"""Whenever a run is killed, a whole checkpoint is there and training goes on from it."""

import errno
import re
import shutil
import struct
import zipfile
from pathlib import Path

import mmengine.runner.runner as mmengine_runner
import pytest
import torch
from mmengine.runner import Runner

from conmim_mm.engine.hooks import atomic_checkpoint_hook
from conmim_mm.engine.hooks.atomic_checkpoint_hook import AtomicCheckpointHook
from conmim_mm.errors import InputError
from conmim_mm.utils import files
from conmim_mm.utils.work_dir import (
    is_complete,
    last_checkpoint,
    newest_complete_checkpoint,
    write_last_checkpoint,
)

from ...toy import run_cfg

EPOCHS = 3


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs, no handler expects it."""


def train(images: Path, work_dir: Path, keep: int = 1, save_best: str | None = None,
          epochs: int = EPOCHS, **overrides) -> Runner:
    """Trains three epochs, or goes on, as tools/train.py --resume does."""
    newest = newest_complete_checkpoint(work_dir)
    runner = Runner.from_cfg(run_cfg(
        images, work_dir, epochs=epochs, resume=newest is not None,
        load_from=str(newest) if newest else None,
        default_hooks=dict(checkpoint=dict(
            type='AtomicCheckpointHook', interval=1, max_keep_ckpts=keep, save_best=save_best,
            rule='greater' if save_best else None)), **overrides))
    runner.train()
    return runner


def checkpoints(work_dir: Path) -> list[str]:
    return sorted(path.name for path in work_dir.iterdir() if '.pth' in path.name)


def half_a_file(checkpoint: dict, filename: str, **_: object) -> None:
    """A saving that is killed in its middle."""
    torch.save(checkpoint, filename)
    content = Path(filename).read_bytes()
    Path(filename).write_bytes(content[:len(content) // 2])
    raise Killed


def kill(*_: object) -> None:
    raise Killed


def leave(real):
    """An ``unlink`` for a process that is killed: nothing tidies up after it."""
    def unlink(path: Path, **options: bool) -> None:
        if path.suffix != '.tmp':
            real(path, **options)
    return unlink


def dying(real, death, survived: int):
    """``real`` for the first calls, then ``death``."""
    calls = iter([real] * survived)
    return lambda *args, **kwargs: next(calls, death)(*args, **kwargs)


# What dies, and how many calls of it there are before that in n complete savings.
MOMENTS = {
    'while writing': (mmengine_runner, 'save_checkpoint', half_a_file, lambda n: n),
    'before renaming': (files.os, 'replace', kill, lambda n: 2 * n),
    'before the pointer moves': (atomic_checkpoint_hook, 'write_last_checkpoint', kill,
                                 lambda n: n),
    'before the pointer is renamed': (files.os, 'replace', kill, lambda n: 2 * n + 1),
    'before the old one goes': (AtomicCheckpointHook, '_remove', kill, lambda n: 1 + n),
}


@pytest.mark.parametrize('complete, moment, newest', [
    (0, 'while writing', None),
    (1, 'while writing', 'epoch_1.pth'),
    (0, 'before renaming', None),
    (1, 'before renaming', 'epoch_1.pth'),
    (0, 'before the pointer moves', 'epoch_1.pth'),
    (1, 'before the pointer moves', 'epoch_1.pth'),
    (1, 'before the pointer is renamed', 'epoch_1.pth'),
    (1, 'before the old one goes', 'epoch_2.pth'),
])
def test_killed(images, tmp_path, complete: int, moment: str, newest: str | None,
                monkeypatch) -> None:
    owner, name, death, calls = MOMENTS[moment]
    monkeypatch.setattr(owner, name, dying(getattr(owner, name), death, calls(complete)))
    monkeypatch.setattr(Path, 'unlink', leave(Path.unlink))
    with pytest.raises(Killed):
        train(images, tmp_path / 'run')
    monkeypatch.undo()

    left = newest_complete_checkpoint(tmp_path / 'run')
    assert (left and left.name) == newest
    resumed = train(images, tmp_path / 'run')
    assert resumed.epoch == EPOCHS
    weights = train(images, tmp_path / 'whole').model.state_dict()
    for key, value in resumed.model.state_dict().items():
        assert torch.equal(value, weights[key]), key
    # no leftovers, and the pointer names what is there
    assert checkpoints(tmp_path / 'run') == ['epoch_3.pth']
    assert last_checkpoint(tmp_path / 'run').name == 'epoch_3.pth'


def test_full_disk_keeps_what_was_there(images, tmp_path, monkeypatch) -> None:
    def full(checkpoint: dict, filename: str, **_: object) -> None:
        Path(filename).write_bytes(b'half')
        raise OSError(errno.ENOSPC, 'No space left on device')

    real = mmengine_runner.save_checkpoint
    monkeypatch.setattr(mmengine_runner, 'save_checkpoint', dying(real, full, 1))
    with pytest.raises(InputError, match=r'cannot write .*epoch_2\.pth: No space left on device'):
        train(images, tmp_path)
    assert checkpoints(tmp_path) == ['epoch_1.pth']
    assert newest_complete_checkpoint(tmp_path).name == 'epoch_1.pth'


def test_the_best_one_is_kept_until_a_better_one_is_there(images, tmp_path, validated,
                                                           monkeypatch) -> None:
    # an epoch saves the regular one, the best one, and the regular one again, which names the best
    real = mmengine_runner.save_checkpoint
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(mmengine_runner, 'save_checkpoint', dying(real, half_a_file, 3 + 1))
        patched.setattr(Path, 'unlink', leave(Path.unlink))
        train(images, tmp_path, save_best='score', **validated)
    half, *whole = checkpoints(tmp_path)
    assert re.fullmatch(r'\.best_score_epoch_2\.pth\.\w{8}\.tmp', half)
    assert whole == ['best_score_epoch_1.pth', 'epoch_2.pth']
    assert is_complete(tmp_path / 'best_score_epoch_1.pth')

    train(images, tmp_path, save_best='score', **validated)
    assert checkpoints(tmp_path) == ['best_score_epoch_3.pth', 'epoch_3.pth']


def test_as_many_are_kept_as_asked(images, tmp_path) -> None:
    train(images, tmp_path / 'two', keep=2)
    assert checkpoints(tmp_path / 'two') == ['epoch_2.pth', 'epoch_3.pth']
    train(images, tmp_path / 'all', keep=-1)
    assert checkpoints(tmp_path / 'all') == ['epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth']


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        largest = max(file.infolist(), key=lambda entry: entry.file_size)
    if how == 'cut off':
        del content[len(content) // 2:]
    elif how == 'one bit turned':
        name_and_extra = sum(struct.unpack_from('<HH', content, largest.header_offset + 26))
        content[largest.header_offset + 30 + name_and_extra + largest.file_size // 2] ^= 1
    path.write_bytes(content)
    if how == 'gone':
        path.unlink()


@pytest.mark.parametrize('how', ['cut off', 'one bit turned', 'gone'])
def test_resuming_passes_over_a_damaged_one(images, tmp_path, how: str) -> None:
    train(images, tmp_path, keep=2)
    damage(tmp_path / 'epoch_3.pth', how)
    assert newest_complete_checkpoint(tmp_path) == tmp_path / 'epoch_2.pth'
    assert train(images, tmp_path, keep=2).epoch == EPOCHS
    assert is_complete(tmp_path / 'epoch_3.pth')


def test_nothing_to_resume(tmp_path) -> None:
    assert newest_complete_checkpoint(tmp_path / 'nowhere') is None
    (tmp_path / 'bad_step_1_rank0.pth').touch()
    assert newest_complete_checkpoint(tmp_path) is None


def test_a_copy_leaves_the_original_alone(images, tmp_path, validated) -> None:
    """Its best checkpoint is replaced by the copy's own only."""
    train(images, tmp_path / 'run', save_best='score', **validated)
    before = checkpoints(tmp_path / 'run')
    shutil.copytree(tmp_path / 'run', tmp_path / 'copy')
    train(images, tmp_path / 'copy', save_best='score', epochs=EPOCHS + 1, **validated)
    assert checkpoints(tmp_path / 'run') == before
    assert checkpoints(tmp_path / 'copy') == ['best_score_epoch_4.pth', 'epoch_4.pth']


def test_another_metric_starts_with_no_best_score(images, tmp_path, validated) -> None:
    train(images, tmp_path, **validated)
    checkpoint = torch.load(tmp_path / 'epoch_3.pth', weights_only=False)
    checkpoint['message_hub']['runtime_info'] |= dict(
        best_score=1e9, best_ckpt=str(tmp_path / 'best_other_epoch_3.pth'))
    torch.save(checkpoint, tmp_path / 'epoch_3.pth')
    train(images, tmp_path, save_best='score', epochs=EPOCHS + 1, **validated)
    assert checkpoints(tmp_path) == ['best_score_epoch_4.pth', 'epoch_4.pth']


@pytest.mark.parametrize('crafted', [
    dict(best_ckpt='{victim}'), dict(best_ckpt=7), dict(keep_ckpt_ids=['/../{victim}', -1]),
    dict(keep_ckpt_ids='ab'), dict(outdated_ckpt_ids=['../{victim}', 1.5, None]),
    dict(outdated_ckpt_ids=3)], ids=str)
def test_a_crafted_checkpoint_deletes_nothing(images, tmp_path, validated, crafted) -> None:
    train(images, tmp_path / 'run', save_best='score', **validated)
    for victim in ('mine.pth', 'run/mine.pth'):
        (tmp_path / victim).write_text('mine')
        path = tmp_path / 'run' / 'epoch_3.pth'
        checkpoint = torch.load(path, weights_only=False)
        checkpoint['message_hub']['runtime_info'] |= {
            key: [one.format(victim=victim) if isinstance(one, str) else one for one in value]
            if isinstance(value, list) else
            value.format(victim=tmp_path / victim) if isinstance(value, str) else value
            for key, value in crafted.items()}
        torch.save(checkpoint, path)
    train(images, tmp_path / 'run', save_best='score', epochs=EPOCHS + 1, **validated)
    assert (tmp_path / 'mine.pth').is_file() and (tmp_path / 'run' / 'mine.pth').is_file()
    assert (tmp_path / 'run' / 'epoch_4.pth').is_file()


def test_what_cannot_be_deleted_stays(images, tmp_path) -> None:
    train(images, tmp_path)
    (tmp_path / 'epoch_3.pth').rename(tmp_path / 'interrupted.pth')
    write_last_checkpoint(tmp_path, tmp_path / 'interrupted.pth')
    (tmp_path / 'epoch_3.pth').mkdir()
    assert train(images, tmp_path, epochs=EPOCHS + 1).epoch == EPOCHS + 1
    assert checkpoints(tmp_path) == ['epoch_3.pth', 'epoch_4.pth']


def test_a_place_for_the_pointer_is_looked_at_before_the_first_step(images, tmp_path) -> None:
    (tmp_path / 'last_checkpoint').mkdir()
    with pytest.raises(InputError, match='none of its checkpoints'):
        train(images, tmp_path)
    runner = Runner.from_cfg(run_cfg(images, tmp_path))
    with pytest.raises(InputError, match='cannot write .*last_checkpoint: it is a folder'):
        runner.train()
    assert runner.iter == 0
