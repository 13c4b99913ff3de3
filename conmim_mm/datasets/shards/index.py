"""Where in a tar file its images lie; kept in a file, so that a second start reads no header."""

import hashlib
import json
import os
import posixpath
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...utils.files import written_whole
from ..image_formats.file_search import EXTENSIONS, INDEX_SUFFIX, is_image
from ..image_formats.known import ARRAYS
from ..transforms.loading import describe_read_error
from .headers import Member, read_headers

LABEL_SUFFIX = '.cls'
NO_LABEL = -1
_FORMAT = 2  # of the file with an index
_COLUMNS = ('name_ends', 'offsets', 'sizes', 'labels')
_MAX_LABEL = 2**31 - 1
_MAGIC = {b'\x1f\x8b': 'gzip', b'BZh': 'bzip2', b'\xfd7zXZ': 'xz', b'\x28\xb5\x2f\xfd': 'zstd'}


@dataclass(frozen=True)
class ShardIndex:
    """The images of a shard, or of several one after another, in the order they lie in.

    Attributes:
        names: ``(bytes,)`` uint8, their names in UTF-8 without anything between them.
        name_ends: ``(n,)`` int64, where in ``names`` each ends.
        offsets: ``(n,)`` int64, the byte of the shard where each begins.
        sizes: ``(n,)`` int64, in bytes.
        labels: ``(n,)`` int64, ``NO_LABEL`` where there is none.
        damage: Why the shard may have held more than this; empty for a whole one.
        others: How many files of each ending are neither images nor labels.
    """

    names: np.ndarray
    name_ends: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    damage: str = ''
    others: Counter = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.offsets)

    def name(self, row: int) -> str:
        """An image's name; bytes that are no UTF-8 as surrogates, as in :func:`os.fsdecode`."""
        start = self.name_ends[row - 1] if row else 0
        return self.names[start:self.name_ends[row]].tobytes().decode('utf-8', 'surrogateescape')


def index_shard(path: str, extensions: tuple[str, ...] = EXTENSIONS) -> ShardIndex:
    """Reads the headers of an uncompressed tar file.

    What lies behind a damaged header cannot be found, and a file that was cut off has lost its end:
    then ``damage`` says so. Hidden files, and those in hidden folders, are left out, as are
    symbolic links and sparse files. Arrays count where there are no other images, as in
    :class:`ImageFiles`. The label of ``a/b.jpg`` is the number in ``a/b.cls``, and that of
    ``a/b.left.jpg`` in ``a/b.left.cls`` or ``a/b.cls``, as in WebDataset.

    Args:
        path: The file.
        extensions: Lower-case endings of the names that count as images.

    Raises:
        InputError: The file cannot be read, is compressed or is no tar file.
    """
    try:
        with open(path, 'rb', buffering=0) as file:
            start = file.read(6)
            for magic, kind in _MAGIC.items():
                if start.startswith(magic):
                    raise InputError(f'{path} is compressed ({kind}), so no image in it can be '
                                     'read by itself: uncompress it (images are compressed '
                                     'already)')
            file.seek(0)
            members, damage = read_headers(file)
            return _index(file, members, extensions, damage)
    except OSError as error:
        raise InputError(f'cannot read the shard {path}: {describe_read_error(error)}') from error
    except tarfile.TarError as error:
        raise InputError(f'{path} is no tar file, or damaged from its start: remove it from the '
                         'shards or copy it again') from error


def join_indexes(indexes: Sequence[ShardIndex]) -> ShardIndex:
    """One index of several shards; which image is whose, their lengths tell."""
    starts = np.cumsum([0] + [len(index.names) for index in indexes[:-1]])
    return ShardIndex(
        names=np.concatenate([index.names for index in indexes]),
        name_ends=np.concatenate(
            [index.name_ends + start for index, start in zip(indexes, starts, strict=True)]),
        **{key: np.concatenate([getattr(index, key) for index in indexes])
           for key in ('offsets', 'sizes', 'labels')})


def _index(file: FileIO, members: Sequence[Member], extensions: tuple[str, ...],
           damage: str) -> ShardIndex:
    places, labels, rows, arrays, others = {}, {}, [], [], Counter()
    for member in members:
        name = posixpath.normpath(member.name).lstrip('/')
        if member.target is None:
            places[member.name] = member.offset, member.size
        elif member.target not in places:
            continue
        place = places[member.name if member.target is None else member.target]
        folder, _, base = name.rpartition('/')
        is_hidden = f'/{name}'.count('/.')
        if is_image(base, extensions) and not is_hidden:
            rows.append((name, *place))
        elif base.lower().endswith(LABEL_SUFFIX):
            labels[name[:-len(LABEL_SUFFIX)]] = _read_label(file, *place)
        elif not is_hidden:
            others[posixpath.splitext(base)[1].lower()] += 1
            if is_image(base, ARRAYS.endings):
                arrays.append((name, *place))

    if not rows and extensions == EXTENSIONS:  # then nobody has asked for them
        rows, others = arrays, Counter(
            {ending: others[ending] for ending in others.keys() - {*ARRAYS.endings}})
    encoded = [name.encode('utf-8', 'surrogateescape') for name, *_ in rows]
    return ShardIndex(
        names=np.frombuffer(b''.join(encoded), np.uint8),
        name_ends=np.cumsum([len(name) for name in encoded], dtype=np.int64),
        offsets=np.array([offset for _, offset, _ in rows], np.int64),
        sizes=np.array([size for *_, size in rows], np.int64),
        labels=np.array([_label_of(name, labels) for name, *_ in rows], np.int64),
        damage=damage,
        others=others)


def _read_label(file: FileIO, offset: int, size: int) -> int:
    text = os.pread(file.fileno(), min(size, 32), offset)
    try:
        label = int(text)
    except ValueError:
        return NO_LABEL
    return label if 0 <= label <= _MAX_LABEL else NO_LABEL


def _label_of(name: str, labels: dict[str, int]) -> int:
    folder, slash, base = name.rpartition('/')
    stem, key = posixpath.splitext(name)[0], f'{folder}{slash}{base.partition(".")[0]}'
    return labels.get(stem, labels.get(key, NO_LABEL))


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
            is_compressed = any(entry.compress_type for entry in file.zip.infolist())
            if is_compressed or file['stamp'].tobytes() != stamp:  # ours never is, but a bomb
                return None
            return ShardIndex(file['names'], *(file[key] for key in _COLUMNS),
                              damage=file['damage'].tobytes().decode(),
                              others=Counter({str(ending): int(count) for ending, count in
                                              json.loads(file['others'].tobytes()).items()}))
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
                     others=np.frombuffer(json.dumps(index.others).encode(), np.uint8),
                     stamp=np.frombuffer(stamp, np.uint8))
    except InputError:
        return False
    return True
