"""Files that are whole or not there; what cannot be written ends in one line, and early."""

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError

MAX_LINE = 2**20  # characters


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says which path could not be written, and why.

    Args:
        path: What is written inside.

    Raises:
        InputError: In place of the system's error.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f'cannot write {path}: {error.strerror or error}') from error


def check_place(path: Path) -> None:
    """Looks whether a file can be written, without leaving anything there.

    Args:
        path: The file; its folder need not exist.

    Raises:
        InputError: It is a folder, or lies below a file or where nothing may be written.
    """
    with writing(path):
        if path.is_dir():
            raise InputError(f'cannot write {path}: it is a folder')
        above = next(folder for folder in path.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=above):
            pass


def check_new(path: Path, overwrite: bool = False) -> None:
    """As :func:`check_place`, for a name that a user gave: what is there stays.

    Args:
        path: A file or folder to be.
        overwrite: Whether what is there may be replaced.

    Raises:
        InputError: Also where there is something, be it a link to nothing.
    """
    if os.path.lexists(path) and not path.is_dir() and not overwrite:
        raise InputError(f'{path} exists already: add --overwrite to replace it, or give another '
                         'name')
    check_place(path)


@contextmanager
def written_whole(path: Path, durable: bool = False) -> Iterator[Path]:
    """A name to write to, which becomes ``path`` once all inside is done.

    So a reader finds the old file or the new one, never a part, and a link in the place of ``path``
    is replaced, not followed. What a kill leaves aside goes by :func:`remove_leftovers`.

    Args:
        path: The file; its folder is made where it is missing.
        durable: Whether the content must be on the disk before the name changes, so that a loss of
            power harms neither.

    Yields:
        An empty file in the same folder, which nobody else writes.

    Raises:
        InputError: It can't be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.tmp')
        # unlike those of tempfile, with the rights that the user's umask leaves
        os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))
        try:
            yield aside
            if durable:
                _flush(aside)
            os.replace(aside, path)
        except BaseException:
            with suppress(OSError):  # else it would hide the error
                aside.unlink(missing_ok=True)
            raise
        if durable:
            with suppress(OSError):  # the file is whole; not every file system can flush a folder
                _flush(path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """As :func:`written_whole`, for a folder, or whatever else is made under the name given.

    Args:
        path: What is to appear. In a folder that is there files of the same names are replaced.

    Yields:
        A name under which nothing is yet.

    Raises:
        InputError: It can't be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f'.{path.name}.',
                                         suffix='.tmp') as staging:
            made = Path(staging, path.name)
            yield made
            if made.is_dir() and path.is_dir():
                for file in made.iterdir():
                    os.replace(file, path / file.name)
            else:
                os.rename(made, path)


def remove_leftovers(folder: Path, name: str) -> None:
    """Removes what killed processes were writing.

    Args:
        folder: Where; nobody may be writing ``name`` there now.
        name: Of the files or folders; ``*`` in it stands for anything.

    Raises:
        InputError: They can't be removed.
    """
    with writing(folder):
        for path in folder.glob(f'.{name.replace("[", "[[]").replace("?", "[?]")}.*.tmp'):
            is_folder = path.is_dir() and not path.is_symlink()
            shutil.rmtree(path) if is_folder else path.unlink(missing_ok=True)


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Writes a text as :func:`written_whole` does, in UTF-8."""
    with written_whole(path, durable) as aside:
        aside.write_text(text, encoding='utf-8', errors='replace')


def is_plain_file_in(folder: Path, path: Path) -> bool:
    """Whether a path leads to a file inside a folder: no link out of it, no pipe, no device."""
    try:
        return path.is_file() and path.resolve().is_relative_to(folder.resolve())
    except OSError:
        return False


def lines_in(folder: Path, path: Path) -> Iterator[str]:
    """The lines of a text file of a folder, whoever made it.

    Args:
        folder: Nothing outside of it is read.
        path: The file; what is no plain file has no lines. Bytes that are no UTF-8 are replaced,
            and a line too long to be one comes in pieces.

    Raises:
        InputError: It can't be read.
    """
    if not is_plain_file_in(folder, path):
        return
    try:
        with path.open(encoding='utf-8', errors='replace') as file:
            while line := file.readline(MAX_LINE):
                yield line
    except OSError as error:
        raise InputError(f'cannot read {path}: {error.strerror or error}') from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def escape_name(text: str) -> str:
    """A file's name, or other text, for a line: what cannot be shown, line ends too, escaped."""
    return ''.join(
        char if char.isprintable() else char.encode('unicode_escape').decode() for char in text)
