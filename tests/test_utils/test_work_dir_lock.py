"""A work dir takes one run at a time."""

import os
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


def test_a_drive_without_locks_takes_runs_all_the_same(tmp_path, monkeypatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, 'Operation not supported')

    monkeypatch.setattr(work_dir_lock.fcntl, 'lockf', unsupported)
    with locked(Path(tmp_path)):
        pass
