"""One run at a time in a work dir."""

import errno
import fcntl
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
            path.unlink()
        os.close(descriptor)


def _acquire(path: Path) -> int:
    deadline = time.monotonic() + PATIENCE
    while True:
        descriptor = _open(path)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD:  # a file system without locks
                print_log(f'{path.parent} cannot be locked against a second run: {error.strerror}',
                          logger='current', level=logging.WARNING)
                return descriptor
            holder = os.read(descriptor, 500).decode(errors='replace').strip()
            os.close(descriptor)
            if time.monotonic() > deadline:
                raise WorkDirInUseError(
                    f'{path.parent} is in use by {ascii(holder)[1:-1] or "another process"}: wait '
                    'for it to end, end it, or choose another folder') from None
            time.sleep(0.1)
            continue
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
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
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
