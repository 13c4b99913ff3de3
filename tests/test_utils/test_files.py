"""What is written is whole or not there, under its own name only."""

import errno
import os
from pathlib import Path

import pytest

from conmim_mm.errors import InputError
from conmim_mm.utils import files
from conmim_mm.utils.files import (
    check_place,
    folder_written_whole,
    remove_leftovers,
    write_text,
    written_whole,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_old_one_is_there_until_the_new_one_is_whole(tmp_path) -> None:
    path = tmp_path / 'new' / 'a.txt'
    write_text(path, 'old')
    with written_whole(path, durable=True) as aside:
        aside.write_text('new')
        assert path.read_text() == 'old' and aside.parent == path.parent
    assert path.read_text() == 'new' and names(path.parent) == ['a.txt']


@pytest.mark.parametrize('error', [KeyboardInterrupt, ValueError])
def test_a_failure_leaves_the_old_one_alone(tmp_path, error) -> None:
    write_text(tmp_path / 'a', 'old')
    with pytest.raises(error), written_whole(tmp_path / 'a') as aside:
        aside.write_text('ne')
        raise error
    assert (tmp_path / 'a').read_text() == 'old' and names(tmp_path) == ['a']


def test_a_failure_of_the_system_is_one_line(tmp_path) -> None:
    with pytest.raises(InputError) as caught, written_whole(tmp_path / 'a') as aside:
        aside.write_text('ne')
        raise OSError(errno.ENOSPC, 'No space left on device')
    assert str(caught.value) == f'cannot write {tmp_path / "a"}: No space left on device'
    assert names(tmp_path) == []


def test_links_are_replaced_and_never_followed(tmp_path, monkeypatch) -> None:
    victim = tmp_path / 'victim'
    victim.write_text('mine')
    (tmp_path / 'a').symlink_to(victim)
    write_text(tmp_path / 'a', 'new')
    assert not (tmp_path / 'a').is_symlink() and (tmp_path / 'a').read_text() == 'new'
    # one that somebody put where the text is written first
    monkeypatch.setattr(files.secrets, 'token_hex', lambda _: 'guessed')
    (tmp_path / '.a.guessed.tmp').symlink_to(victim)
    with pytest.raises(InputError, match='File exists'):
        write_text(tmp_path / 'a', 'newer')
    assert victim.read_text() == 'mine' and (tmp_path / '.a.guessed.tmp').is_symlink()


def test_rights_are_those_of_any_new_file(tmp_path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / 'a', '')
        with folder_written_whole(tmp_path / 'b') as aside:
            aside.mkdir()
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in 'ab'] == [0o640, 0o750]


def test_a_folder_that_cannot_be_flushed_is_no_failure(tmp_path, monkeypatch) -> None:
    """As on CIFS or FUSE. The file itself must be on the disk."""
    flushed = []

    def fsync(descriptor: int) -> None:
        name = os.readlink(f'/proc/self/fd/{descriptor}')
        flushed.append((os.path.isdir(name), os.path.exists(tmp_path / 'a')))
        if os.path.isdir(name):
            raise OSError(errno.EINVAL, 'Invalid argument')

    monkeypatch.setattr(files.os, 'fsync', fsync)
    write_text(tmp_path / 'a', 'text', durable=True)
    assert (tmp_path / 'a').read_text() == 'text'
    assert flushed == [(False, False), (True, True)]  # the file before it has its name


def test_a_folder_appears_with_all_that_is_in_it(tmp_path) -> None:
    (tmp_path / 'out').mkdir()
    with folder_written_whole(tmp_path / 'out') as aside:
        aside.mkdir()
        (aside / 'a').write_text('text')
        assert names(tmp_path / 'out') == []
    assert names(tmp_path) == ['out'] and names(tmp_path / 'out') == ['a']
    with pytest.raises(KeyboardInterrupt), folder_written_whole(tmp_path / 'other') as aside:
        aside.mkdir()
        raise KeyboardInterrupt
    assert names(tmp_path) == ['out']


def test_leftovers_of_a_killed_run(tmp_path) -> None:
    for name in ('.a.pth.0123.tmp', 'a.pth', '.b.0123.tmp', 'a.pth.tmp'):
        (tmp_path / name).touch()
    (tmp_path / '.out.pth.x.tmp').mkdir()
    (tmp_path / '.[b].0123.tmp').touch()
    remove_leftovers(tmp_path, '*.pth')
    remove_leftovers(tmp_path, '[b]')
    assert names(tmp_path) == ['.b.0123.tmp', 'a.pth', 'a.pth.tmp']


def test_a_place_is_looked_at_and_left(tmp_path) -> None:
    (tmp_path / 'file').write_text('text')
    with pytest.raises(InputError, match=f'cannot write {tmp_path}: it is a folder'):
        check_place(tmp_path)
    with pytest.raises(InputError, match=f'cannot write {tmp_path}/file/x: Not a directory'):
        check_place(tmp_path / 'file' / 'x')
    check_place(tmp_path / 'new' / 'x')
    check_place(tmp_path / 'file')
    assert names(tmp_path) == ['file'] and (tmp_path / 'file').read_text() == 'text'
