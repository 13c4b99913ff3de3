"""Keeps the indexes of shards in files, so that a second start need not read every header."""

import hashlib
import os
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...utils.files import written_whole
from ..image_files import EXTENSIONS
from ..unreadable import describe_read_error
from .index import ShardIndex, index_shard

INDEX_SUFFIX = '.index.npz'
_FORMAT = 1
_COLUMNS = ('name_ends', 'offsets', 'sizes', 'labels')


def cached_index(path: str, extensions: tuple[str, ...] = EXTENSIONS) -> tuple[ShardIndex, bool]:
    """The index of a shard: from a file made for this very shard, or made anew and kept.

    The file lies beside the shard, or where that folder cannot be written to, in the user's cache
    folder. It holds plain arrays, and nothing in it is run. Several processes may make it at the
    same time.

    Args:
        path: The shard.
        extensions: As in :func:`index_shard`.

    Returns:
        The index, and whether a file holds it.

    Raises:
        InputError: As ``index_shard``.
    """
    try:
        facts = os.stat(path)
    except OSError as error:
        raise InputError(f'cannot read the shard {path}: {describe_read_error(error)}') from error
    stamp = repr((_FORMAT, facts.st_size, facts.st_mtime_ns, extensions)).encode()
    places = [Path(path + INDEX_SUFFIX), _place_in_cache(path)]
    for place in places:
        index = _load(place, stamp)
        if index is not None and _is_sound(index, facts.st_size):
            return index, True
    index = index_shard(path, extensions)
    return index, any(_store(place, stamp, index) for place in places)


def _place_in_cache(path: str) -> Path:
    folder = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    digest = hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:16]
    return Path(folder, 'conmim_mm', 'shards', f'{digest}{INDEX_SUFFIX}')


def _load(place: Path, stamp: bytes) -> ShardIndex | None:
    """The index in a file; None if there is none, or another one's."""
    try:
        with np.load(place, allow_pickle=False) as file:
            if file['stamp'].tobytes() != stamp:
                return None
            return ShardIndex(file['names'], *(file[key] for key in _COLUMNS),
                              damage=file['damage'].tobytes().decode())
    except Exception:  # damaged files raise nearly anything, and the index can be made anew
        return None


def _is_sound(index: ShardIndex, shard_size: int) -> bool:
    columns = [getattr(index, key) for key in _COLUMNS]
    return (index.names.dtype == np.uint8 and index.names.ndim == 1
            and all(column.dtype == np.int64 and column.shape == columns[0].shape
                    and column.ndim == 1 for column in columns)
            and (np.diff(index.name_ends, prepend=0, append=len(index.names)) >= 0).all()
            and (index.offsets >= 0).all() and (index.sizes >= 0).all()
            and (index.sizes <= shard_size).all()
            and (index.offsets <= shard_size - index.sizes).all())


def _store(place: Path, stamp: bytes, index: ShardIndex) -> bool:
    """Keeps an index in a file; False where it cannot."""
    try:
        with written_whole(place) as aside, open(aside, 'wb') as file:
            np.savez(file, names=index.names, **{key: getattr(index, key) for key in _COLUMNS},
                     damage=np.frombuffer(index.damage.encode(errors='replace'), np.uint8),
                     stamp=np.frombuffer(stamp, np.uint8))
    except InputError:
        return False
    return True
