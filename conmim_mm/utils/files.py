"""Places that cannot be written to end in one line, before the work where that can be seen."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError


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
        if not above.is_dir():
            raise InputError(f'cannot write {path}: {above} is no folder')
        if not os.access(above, os.W_OK | os.X_OK):
            raise InputError(f'cannot write {path}: nothing may be written in {above}')


def put_in_place(aside: Path, path: Path) -> None:
    """Flushes a file to the disk and renames it, so that ``path`` is the old or the new one."""
    with aside.open('rb') as file:
        os.fsync(file.fileno())
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Writes a text aside and renames it, so that a reader finds the old one or the new one."""
    aside = path.with_name(f'{path.name}.tmp')
    aside.write_text(text, encoding='utf-8', errors='replace')
    aside.replace(path)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
