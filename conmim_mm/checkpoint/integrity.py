"""Whether a checkpoint is as it was written, by the form of its file and the check sums in it."""

import errno
import os
import pickle
import stat
import zipfile
from pathlib import Path

from ..errors import InputError, one_line
from .pickle_depth import TooDeepError, check_depth

_MAGIC = b'PK\x03\x04'  # by which PyTorch, too, tells its archives from its older format
_PLAIN_FLAGS = 0x0008 | 0x0800  # sizes behind the data, names in UTF-8; as PyTorch writes
_FOLDER = 0x10  # an attribute; PyTorch reads nothing of a folder, and gives what is in the memory
_HEADER_SIZE = 30  # of an entry, without its name
_CHUNK = 2**20
_OLD_PICKLES = 5  # one after the other, before the tensors

PICKLE = '/data.pkl'  # end of the name of an archive's entry with all that is no tensor


class DamagedCheckpointError(InputError):
    """A file that is no checkpoint, or not as it was written."""


def check_file(path: str | Path, only: str = '') -> None:
    """Makes sure that a checkpoint is whole.

    PyTorch's format before 1.6 has no check sums; of that only the beginning is looked at.

    Args:
        path: The file.
        only: End of the name of the entries whose check sum is compared; by default of all.

    Raises:
        DamagedCheckpointError: It is no checkpoint, or damaged.
        OSError: It cannot be read, which says nothing of what is in it.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # a FIFO would wait, a device never end
        raise DamagedCheckpointError(f'{path} is no regular file, so no checkpoint')
    if not is_archive(path):
        _check_old_format(path)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            _check_form(archive)
            for entry in archive.infolist():
                if entry.filename.endswith(only):
                    _compare_sum(archive, entry)
                if entry.filename.endswith(PICKLE):
                    with archive.open(entry) as file:
                        check_depth(file)
    except TooDeepError as error:
        raise DamagedCheckpointError(f'cannot load {path} as plain weights: {error}') from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # which is an offset that cannot be
            raise
        raise _damaged(path, error) from error
    except Exception as error:  # of a damaged file: names, flags, sizes, offsets
        raise _damaged(path, error) from error


def is_archive(path: str | Path) -> bool:
    """Whether a file is in PyTorch's format since 1.6, a zip archive with check sums.

    Raises:
        OSError: It cannot be read.
    """
    with open(path, 'rb') as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _check_old_format(path: str | Path) -> None:
    with open(path, 'rb') as file:
        if file.read(1) != pickle.PROTO:
            raise DamagedCheckpointError(f'{path} is no checkpoint (or a damaged one)')
        file.seek(0)
        try:
            for _ in range(_OLD_PICKLES):
                check_depth(file)
        except TooDeepError as error:
            raise DamagedCheckpointError(f'cannot load {path} as plain weights: {error}') from None


def _damaged(path: str | Path, error: Exception) -> DamagedCheckpointError:
    reason = one_line(error)[:100]
    return DamagedCheckpointError(f'{path} is damaged: what it holds does not fit its check sums '
                                  f'({reason})')


def _check_form(archive: zipfile.ZipFile) -> None:
    """Refuses what PyTorch's reader would take in another way, or as more than the file holds."""
    entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    if len({entry.filename for entry in entries}) != len(entries):
        raise zipfile.BadZipFile('two entries of one name')
    end = 0
    for entry in entries:
        if (entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & ~_PLAIN_FLAGS
                or entry.external_attr & _FOLDER or entry.compress_size != entry.file_size):
            raise zipfile.BadZipFile(f'{entry.filename} is not stored as PyTorch does')
        if entry.header_offset < end:
            raise zipfile.BadZipFile(f'{entry.filename} overlaps another entry')
        end = entry.header_offset + _HEADER_SIZE + entry.file_size


def _compare_sum(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    with archive.open(entry) as file:  # which compares at the end
        left = entry.file_size
        while chunk := file.read(_CHUNK):
            left -= len(chunk)
        if left:
            raise zipfile.BadZipFile(f'{entry.filename} is cut off')
