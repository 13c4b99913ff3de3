"""From what a run goes on, whatever has happened to its folder."""

import builtins
import errno
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from conmim_mm.errors import InputError
from conmim_mm.utils import work_dir
from conmim_mm.utils.work_dir import (
    checkpoint_folder,
    last_checkpoint,
    newest_complete_checkpoint,
    write_last_checkpoint,
)


def save(path: Path, step: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    torch.save(dict(meta=dict(epoch=step // 2, iter=step), state_dict=dict(w=torch.ones(9))), path)
    return path


@pytest.fixture
def run(tmp_path) -> Path:
    """A folder with three checkpoints, the newest of which has the oldest date."""
    for age, step in enumerate((8, 9, 10)):
        path = save(tmp_path / 'run' / f'iter_{step}.pth', step)
        os.utime(path, (10**9 - age, 10**9 - age))
    write_last_checkpoint(tmp_path / 'run', path)
    return tmp_path / 'run'


def unreadable(monkeypatch, name: str, number: int) -> None:
    """Makes opening files of a name fail, as a network drive does for a moment."""
    real = io.open

    def failing(file: object, *args: object, **kwargs: object) -> object:
        if isinstance(file, str | Path) and Path(file).match(name):
            raise OSError(number, os.strerror(number), str(file))
        return real(file, *args, **kwargs)

    for module in (builtins, io):
        monkeypatch.setattr(module, 'open', failing)


@pytest.mark.parametrize('number', [errno.EIO, errno.ESTALE, errno.EACCES])
@pytest.mark.parametrize('name', ['*.pth', 'iter_10.pth'])
@pytest.mark.parametrize('has_pointer', [True, False])
def test_what_cannot_be_read_is_not_damaged(run, monkeypatch, number, name, has_pointer) -> None:
    if not has_pointer:
        (run / 'last_checkpoint').unlink()
    unreadable(monkeypatch, name, number)
    with pytest.raises(InputError, match=f'cannot read .*iter_.*: {os.strerror(number)}'):
        newest_complete_checkpoint(run)


def test_a_folder_that_cannot_be_listed_is_not_empty(run, monkeypatch) -> None:
    def failing(folder: object) -> None:
        raise PermissionError(errno.EACCES, 'Permission denied')

    monkeypatch.setattr(os, 'listdir', failing)
    with pytest.raises(InputError, match=f'cannot read {run}: Permission denied'):
        newest_complete_checkpoint(run)


def damage_pointer(pointer: Path, how: str | bytes | Callable) -> None:
    pointer.unlink()
    if callable(how):
        how(pointer)
    else:
        pointer.write_bytes(how)


POINTERS = {
    'gone': lambda path: None, 'empty': b'', 'NUL': b'iter_10.pth\0', 'not UTF-8': b'\xff\xfe',
    'a folder': Path.mkdir, 'a dangling link': lambda path: path.symlink_to('nowhere'),
    'a FIFO': os.mkfifo, 'a device': lambda path: path.symlink_to('/dev/zero'),
    'another name': b'/elsewhere/iter_99.pth', 'a long name': b'a' * 5000, 'parent': b'..',
}


@pytest.mark.parametrize('kind', POINTERS)
def test_a_damaged_pointer(run, kind: str) -> None:
    """By number and not by date; with nothing else to go on from it is refused."""
    damage_pointer(run / 'last_checkpoint', POINTERS[kind])
    assert newest_complete_checkpoint(run) == run / 'iter_10.pth'
    for path in run.glob('*.pth'):
        path.unlink()
    if kind == 'gone':
        assert newest_complete_checkpoint(run) is None
        return
    with pytest.raises(InputError, match='none of its checkpoints can be used'):
        newest_complete_checkpoint(run)


@pytest.mark.parametrize('name', ['iter_10.pth', 'best_score_iter_8.pth', 'a.pth'])
def test_checkpoints_of_which_none_can_be_used_are_refused(tmp_path, name: str) -> None:
    """A run from the start would write over them."""
    path = save(tmp_path / 'run' / name, 8)
    if not name.startswith('best'):
        path.write_bytes(path.read_bytes()[:-99])
    with pytest.raises(InputError, match=f'holds a run .{name}., and none of its checkpoints'):
        newest_complete_checkpoint(tmp_path / 'run')


def test_checkpoints_on_another_disk_are_found(tmp_path) -> None:
    cfg = Config(dict(work_dir=str(tmp_path / 'run'), default_hooks=dict(
        checkpoint=dict(out_dir=str(tmp_path / 'disk')))))
    folder = checkpoint_folder(cfg.work_dir, cfg)
    (tmp_path / 'run').mkdir()
    (tmp_path / 'disk').mkdir()
    saved = save(folder / 'iter_10.pth', 10)
    assert newest_complete_checkpoint(tmp_path / 'run', folder) == saved
    write_last_checkpoint(tmp_path / 'run', saved)
    assert newest_complete_checkpoint(tmp_path / 'run') == saved
    assert last_checkpoint(tmp_path / 'run') == saved
    shutil.rmtree(tmp_path / 'disk')  # not mounted
    with pytest.raises(InputError, match='holds a run .last_checkpoint., and none'):
        newest_complete_checkpoint(tmp_path / 'run', folder)


def test_each_checkpoint_is_tried_once(run, monkeypatch) -> None:
    """With the folder given as a relative one, too."""
    said = []
    monkeypatch.setattr(work_dir, 'print_log', lambda line, **_: said.append(line))
    monkeypatch.chdir(run.parent)
    for path in run.glob('*.pth'):
        path.write_bytes(b'')
    with pytest.raises(InputError, match='none of its checkpoints'):
        newest_complete_checkpoint(Path('run'), checkpoint_folder('run', Config()))
    assert len(said) == 3


def test_a_copy_goes_on_from_its_own(run, tmp_path) -> None:
    shutil.copytree(run, tmp_path / 'copy')
    assert newest_complete_checkpoint(tmp_path / 'copy') == tmp_path / 'copy' / 'iter_10.pth'
