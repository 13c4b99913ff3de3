"""One run at a time in a work dir."""

import errno
import logging
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmengine.logging import print_log

from ..errors import InputError
from .files import writing

LOCK_FILE = '.lock'
PATIENCE = 2.  # seconds that a holder has to end, such as one that was just killed
_HELD = (errno.EACCES, errno.EAGAIN)


class WorkDirInUseError(InputError):
    """A run is in the folder."""


@contextmanager
def locked(work_dir: Path) -> Iterator[None]:
    """Keeps other runs out of a work dir, which is made where it is missing.

    The system takes the lock away from a process that ends, however it ends; data workers do not
    inherit it. A run on several processes has it on the first of them.

    Args:
        work_dir: Folder of the run.

    Raises:
        WorkDirInUseError: A run is in it.
        InputError: It cannot be written.
    """
    path = work_dir / LOCK_FILE
    with writing(work_dir):
        work_dir.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(path)
    try:
        yield
    finally:
        with suppress(OSError):
            if _is_at(descriptor, path):  # the folder may have moved, and another be in its place
                path.unlink()
        os.close(descriptor)


def _acquire(path: Path) -> int:
    deadline = time.monotonic() + PATIENCE
    while True:
        descriptor = _open(path)
        try:
            _lock(descriptor, 'LOCK_EX')
        except OSError as error:
            if error.errno not in _HELD:  # a file system without locks
                print_log(f'{path.parent} cannot be locked against a second run: {error.strerror}',
                          logger='current', level=logging.WARNING)
                return descriptor
            in_use = _in_use(descriptor, path)
            os.close(descriptor)
            if time.monotonic() > deadline:
                raise in_use from None
            time.sleep(0.1)
            continue
        with suppress(FileNotFoundError):
            if _is_at(descriptor, path):
                now = time.strftime('%Y-%m-%d %H:%M:%S')
                os.truncate(descriptor, 0)
                os.write(descriptor, f'process {os.getpid()} on {socket.gethostname()} since '
                         f'{now}'.encode())
                return descriptor
        os.close(descriptor)  # its holder removed it while it was being locked


def _open(path: Path) -> int:
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):  # a link is replaced, not followed
            path.unlink()
    flags = os.O_RDWR | os.O_CREAT | getattr(os, 'O_NOFOLLOW', 0)
    try:
        return os.open(path, flags, 0o666)
    except PermissionError:  # another user's
        _remove_foreign(path)
        return os.open(path, flags, 0o666)


def _remove_foreign(path: Path) -> None:
    with suppress(PermissionError):  # it may not be read either
        descriptor = os.open(path, os.O_RDONLY)
        try:
            _lock(descriptor, 'LOCK_SH')
        except OSError as error:
            if error.errno in _HELD:
                raise _in_use(descriptor, path) from None
        finally:
            os.close(descriptor)
    path.unlink(missing_ok=True)


def _lock(descriptor: int, kind: str) -> None:
    try:
        import fcntl
    except ImportError:  # on Windows
        raise OSError(errno.ENOLCK, 'no locks on this system') from None
    fcntl.lockf(descriptor, getattr(fcntl, kind) | fcntl.LOCK_NB)


def _in_use(descriptor: int, path: Path) -> WorkDirInUseError:
    holder = os.read(descriptor, 500).decode(errors='replace').strip()
    return WorkDirInUseError(
        f'{path.parent} is in use by {ascii(holder)[1:-1] or "another process"}: wait for it to '
        'end, end it, or choose another folder')


def _is_at(descriptor: int, path: Path) -> bool:
    return os.path.samestat(os.fstat(descriptor), os.stat(path))
