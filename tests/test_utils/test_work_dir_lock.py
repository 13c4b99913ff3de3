"""A work dir takes one run at a time."""

import fcntl
import os
import sys
from pathlib import Path

import pytest

from conmim_mm.utils import work_dir_lock
from conmim_mm.utils.work_dir_lock import LOCK_FILE, WorkDirInUseError, locked


def test_one_run_at_a_time(tmp_path, holder, monkeypatch) -> None:
    monkeypatch.setattr(work_dir_lock, 'PATIENCE', 0.2)
    with (pytest.raises(WorkDirInUseError, match=f'is in use by process {holder.pid} on '),
          locked(tmp_path / 'run')):
        pass
    monkeypatch.undo()
    holder.kill()  # whose child lives on
    with locked(tmp_path / 'run'):
        assert (tmp_path / 'run' / LOCK_FILE).is_file()
    assert list((tmp_path / 'run').iterdir()) == []


@pytest.mark.parametrize('make', [lambda path: path.symlink_to(path.parent / 'mine'), os.mkfifo])
def test_what_stands_in_its_place_is_replaced(tmp_path, make) -> None:
    (tmp_path / 'mine').write_text('mine')
    make(tmp_path / LOCK_FILE)
    with locked(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text().startswith(f'process {os.getpid()} on ')
    assert (tmp_path / 'mine').read_text() == 'mine'


def unsupported(*_: object) -> None:
    raise OSError(95, 'Operation not supported')


@pytest.mark.parametrize('without', [
    lambda patch: patch.setattr(fcntl, 'lockf', unsupported),
    lambda patch: patch.setitem(sys.modules, 'fcntl', None)], ids=['drive', 'system'])
def test_a_drive_without_locks_takes_runs_all_the_same(tmp_path, monkeypatch, without) -> None:
    said = []
    monkeypatch.setattr(work_dir_lock, 'print_log', lambda line, **_: said.append(line))
    without(monkeypatch)
    with locked(Path(tmp_path)):
        pass
    assert [' cannot be locked against a second run: ' in line for line in said] == [True]


@pytest.fixture
def foreign(tmp_path, monkeypatch) -> Path:
    """The lock file of another user, which may be read only."""
    path, opened = tmp_path / 'run' / LOCK_FILE, os.open
    path.parent.mkdir(exist_ok=True)
    path.touch()
    theirs = path.stat()

    def open_ours(name: str | Path, flags: int, *mode: int) -> int:
        if flags & os.O_RDWR and os.path.exists(name) and os.path.samestat(os.stat(name), theirs):
            raise PermissionError(13, 'Permission denied', str(name))
        return opened(name, flags, *mode)

    monkeypatch.setattr(os, 'open', open_ours)
    return path


def test_a_lock_that_another_user_left_is_replaced(foreign) -> None:
    with locked(foreign.parent):
        assert foreign.read_text().startswith(f'process {os.getpid()} on ')


def test_a_lock_that_another_user_holds_is_not(holder, foreign) -> None:
    with pytest.raises(WorkDirInUseError, match='is in use by '), locked(foreign.parent):
        pass
    assert foreign.is_file()


def test_the_lock_of_a_folder_in_its_place_stays(tmp_path) -> None:
    run = tmp_path / 'run'
    with locked(run):
        run.rename(tmp_path / 'aside')
        run.mkdir()
        (run / LOCK_FILE).touch()
    assert (run / LOCK_FILE).is_file()
