"""Images from tar files, for sets too large for a folder tree."""

import glob
import logging
import os
import re
import weakref
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import force_full_init
from mmengine.dist import get_dist_info
from mmengine.logging import print_log
from mmpretrain.registry import DATASETS

from ...errors import InputError
from ..image_formats.file_search import EXTENSIONS, describe_left_out, each_once, file_identity
from ..replacing_dataset import ReplacingDataset
from ..transforms.loading import check_size, reading
from .index import NO_LABEL, ShardIndex, cached_index, join_indexes

OPEN_SHARDS = 128  # of each process; the usual limit of open files is 1024
_RANGE = re.compile(r'\{(\d+)\.\.(\d+)\}')


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


@DATASETS.register_module()
class TarShards(ReplacingDataset):
    """The images of tar shards, in the order of the shards and of the images in each.

    A shard is an uncompressed tar file named ``.tar``, as WebDataset's. Where its images lie is
    read from its headers once and kept in a small file (see :func:`cached_index`); then every image
    can be read by itself. So samplers, exact resume and the replacing of unreadable images are
    those of :class:`ImageFiles`; :class:`ShardSequentialSampler` reads shard by shard.

    A sample has ``img_path``, the shard's path with the name in it as if it were a folder, and
    ``img_bytes``. Only transforms that read these, as ``LoadRGBImage``, can load it. A shard that
    was cut off or is damaged gives the images that its headers still lead to, with a warning; one
    that vanishes or shrinks later makes its images unreadable. One that is named several times, by
    links too, is taken once; how many there were is ``repeated`` in words. Arrays, and what is left
    out, are as in :class:`ImageFiles`.

    Args:
        shards: File name, which may hold ranges such as ``imagenet-{000000..000146}.tar`` or
            the wildcards of :mod:`glob`; or several of these.
        data_root: Folder that ``shards`` are relative to.
        data_prefix: Folder below ``data_root``, such as ``'train'``.
        with_label: Give each sample its ``gt_label``, and fail if there is none: the number in the
            ``.cls`` file beside the image in the shard. Names of classes are ``metainfo``.
        extensions: Which files count as images; case does not matter. By default those of all
            formats that are installed here.
        lazy_init: Look at no shard before the first use.
        **kwargs: As in :class:`mmengine.dataset.BaseDataset`, but for ``serialize_data``: arrays
            hold about 60 bytes of each image in any case.

    Raises:
        InputError: No such shard, one without images, compressed or no tar file, a missing label,
            a pipeline with OpenMMLab's ``LoadImageFromFile``.
        UnreadableImageError: With an index, as ``ReplacingDataset``.
    """

    def __init__(self,
                 shards: str | Sequence[str],
                 data_root: str = '',
                 data_prefix: str = '',
                 with_label: bool = False,
                 extensions: tuple[str, ...] | None = None,
                 lazy_init: bool = False,
                 **kwargs) -> None:
        self.patterns = [shards] if isinstance(shards, str) else list(shards)
        self.with_label = with_label
        self.left_out = self.repeated = ''
        self.extensions = tuple(ext.lower() for ext in extensions or EXTENSIONS)
        self.reader = ShardReader()
        super().__init__(
            data_root=os.path.expanduser(data_root),
            data_prefix=dict(img_path=data_prefix),
            serialize_data=False,
            lazy_init=True,
            **kwargs)
        self.folders = [*dict.fromkeys(
            _folder_above(self.data_prefix['img_path'], pattern) for pattern in self.patterns)]
        if any(isinstance(transform, LoadImageFromFile) for transform in self.pipeline.transforms):
            raise InputError('LoadImageFromFile cannot read from tar shards: put LoadRGBImage in '
                             'its place in the pipeline')
        if not lazy_init:
            self.full_init()

    def load_data_list(self) -> np.ndarray:
        """Looks at all shards.

        Returns:
            ``(n,)`` int64: of each image its row in ``index``. A dict for each would take too much
            memory and time.
        """
        paths = expand_shards(self.patterns, self.data_prefix['img_path'])
        self.shards, self.repeated = each_once(paths, map(file_identity, paths))
        # each process begins elsewhere, so that they find what the others have indexed
        rank, world_size = get_dist_info()
        first = rank * len(self.shards) // world_size
        found = {path: cached_index(path, self.extensions)
                 for path in self.shards[first:] + self.shards[:first]}
        indexes, kept = zip(*(found[path] for path in self.shards), strict=True)
        for path, index in zip(self.shards, indexes, strict=True):
            self._check_shard(path, index)
        if not all(kept):
            print_log(f'the indexes of {len(kept) - sum(kept)} shards, such as '
                      f'{self.shards[kept.index(False)]}, can be kept neither beside them nor in '
                      "the user's cache folder: every start will read all their headers",
                      logger='current')
        self.left_out = describe_left_out(sum((index.others for index in indexes), Counter()), ())
        if self.left_out:
            print_log(f'left out in the shards: {self.left_out}', logger='current',
                      level=logging.WARNING)
        self.shard_ends = np.cumsum([len(index) for index in indexes])
        self.index = join_indexes(indexes)
        return np.arange(len(self.index))

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """What is known about a sample without reading it."""
        row = int(self.data_list[idx])
        path = self.shards[np.searchsorted(self.shard_ends, row, side='right')]
        info = dict(
            img_path=f'{path}/{self.index.name(row)}',
            shard_path=path,
            shard_offset=int(self.index.offsets[row]),
            num_bytes=int(self.index.sizes[row]),
            sample_idx=idx if idx >= 0 else len(self) + idx)
        return info | dict(gt_label=int(self.index.labels[row])) if self.with_label else info

    @force_full_init
    def shard_numbers(self) -> np.ndarray:
        """``(len(self),)`` int: in which shard each sample lies."""
        return np.searchsorted(self.shard_ends, np.asarray(self.data_list), side='right')

    def source(self, info: dict) -> dict:
        """Adds ``img_bytes``, the image file."""
        with reading(info['img_path']):
            check_size(info['num_bytes'])
            content = self.reader.read(
                info['shard_path'], info['shard_offset'], info['num_bytes'])
        return info | dict(img_bytes=content)

    def _check_shard(self, path: str, index: ShardIndex) -> None:
        if not len(index):
            damage = f' ({index.damage})' if index.damage else ''
            raise InputError(f'no images in the shard {path}{damage}: looked for '
                             f'{" ".join(self.extensions)}')
        if index.damage:
            print_log(f'the shard {path} is cut off or damaged ({index.damage}): the first '
                      f'{len(index)} images are used, and what comes behind them is lost; copy or '
                      'make it again', logger='current', level=logging.WARNING)
        unlabelled = np.flatnonzero(index.labels == NO_LABEL)
        if self.with_label and len(unlabelled):
            raise InputError(f'{path}/{index.name(unlabelled[0])} has no label: there must be a '
                             'number in a .cls file of the same name beside it')


def expand_shards(patterns: Sequence[str], folder: str) -> list[str]:
    """Paths of shards from ranges and wildcards, each pattern's in order.

    Args:
        patterns: ``{008..011}`` in them counts up, with the zeros of its first number; ``*``,
            ``?`` and ``[...]`` as in :mod:`glob`, unless a file is named like that.
        folder: What patterns are relative to.

    Raises:
        InputError: There is no pattern, or no file that fits one.
    """
    if not patterns:
        raise InputError('no tar file is named: there must be at least one shard')
    found = []
    for pattern in patterns:
        for name in _expand_ranges(os.path.expanduser(pattern)) or [pattern]:
            names = [name]
            if not os.path.isfile(os.path.join(folder, name)):
                names = sorted(glob.glob(name, root_dir=folder or None))
            paths = [os.path.join(folder, name) for name in names]
            paths = [path for path in paths if os.path.isfile(path)]
            if not paths:
                path = os.path.join(folder, name)
                raise InputError(
                    f'no such shard: {path} (' + (
                        f'that is a folder: give {path}/*.tar' if os.path.isdir(path) else
                        'is --shards right, or data_root and shards in the config?') + ')')
            found += paths
    return found


def _folder_above(folder: str, pattern: str) -> str:
    """The folder that shards lie in or below: the common one, or that of an absolute pattern."""
    pattern = os.path.expanduser(pattern)
    if not os.path.isabs(pattern):
        return folder
    folder = os.path.dirname(_RANGE.sub('*', pattern))
    while glob.has_magic(folder) and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def _expand_ranges(pattern: str) -> list[str]:
    match = _RANGE.search(pattern)
    if match is None:
        return [pattern]
    first, last = match.groups()
    return [name for number in range(int(first), int(last) + 1)
            for name in _expand_ranges(
                f'{pattern[:match.start()]}{number:0{len(first)}}{pattern[match.end():]}')]
