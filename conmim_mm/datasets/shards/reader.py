"""Reads from many shards, in any process."""

import os
import weakref
from functools import lru_cache

OPEN_SHARDS = 128  # of each process; the usual limit of open files is 1024


class ShardReader:
    """Reads ranges of bytes by offset, keeping the files open.

    It has no position, so processes forked from this one may go on with its open files, and threads
    may share it. Copies, and those sent to other processes, open files of their own.
    """

    def __init__(self) -> None:
        self._open = lru_cache(OPEN_SHARDS)(_OpenFile)

    def __reduce__(self) -> tuple:
        return ShardReader, ()

    def read(self, path: str, offset: int, size: int) -> bytes:
        """The bytes from ``offset`` on, ``size`` of them.

        Raises:
            OSError: The file cannot be read.
            ValueError: It ends before.
        """
        file = self._open(path)
        parts = []
        while size > 0:
            part = os.pread(file.descriptor, size, offset)
            if not part:
                raise ValueError('its shard has become shorter')
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return parts[0] if len(parts) == 1 else b''.join(parts)


class _OpenFile:
    """Closed when the last one who reads from it has let go of it."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)
