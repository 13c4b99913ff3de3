"""Which files below folders are images: found, each once, and what is not among them in words."""

import logging
import os
import stat
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from mmengine.logging import print_log

from ...utils.files import escape_name
from .known import ARRAYS, PICTURE_ENDINGS, how_to_read

EXTENSIONS = PICTURE_ENDINGS
INDEX_SUFFIX = '.index.npz'  # of what is kept beside a tar shard
NAMED_ENDINGS = 5

T = TypeVar('T')


def is_image(name: str, extensions: tuple[str, ...] = EXTENSIONS) -> bool:
    """Whether a file of this name counts as an image: by its ending, and not hidden."""
    return name.lower().endswith(extensions) and not (
        name.startswith('.') or name.endswith(INDEX_SUFFIX))


def is_image_or_array(name: str) -> bool:
    """Whether a file of this name counts as an image where there are no others."""
    return is_image(name, (*EXTENSIONS, *ARRAYS.endings))


def files_below(folder: str, closed: list[OSError]) -> Iterator[tuple[str, list[str]]]:
    """Each folder below one, and itself, with the names of its files, in order.

    Args:
        folder: Links to folders are followed, each folder once; hidden ones are left out.
        closed: Gets the error of each that cannot be listed.
    """
    visited = {os.path.realpath(folder)}
    for parent, folders, files in os.walk(folder, onerror=closed.append, followlinks=True):
        # Links may lead in circles; hidden folders hold thumbnails and the like.
        folders[:] = [
            name for name in sorted(folders) if not name.startswith('.')
            and (place := os.path.realpath(os.path.join(parent, name))) not in visited
            and not visited.add(place)
        ]
        yield parent, sorted(files)


def only_other_files(folder: str) -> str | None:
    """What a folder without images holds, in words; None for one with images or arrays."""
    closed, others = [], Counter()
    for _, files in files_below(folder, closed):
        if any(map(is_image_or_array, files)):
            return None
        others.update(ending_of(file) for file in files if not file.startswith('.'))
    return describe_left_out(others, closed)


def file_identity(path: str) -> tuple[int, int] | None:
    """What tells a file from all others, whatever leads to it; None if there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def each_once(items: Iterable[T], files: Iterable[Hashable], path: Callable[[T], str] = str
              ) -> tuple[list[T], str]:
    """Of the items of a file the first, and in words how many others there are, also in the log.

    Args:
        items: To choose from.
        files: What tells the file of each from others.
        path: The name of an item's file.
    """
    first, others = {}, []
    for item, file in zip(items, files, strict=True):
        if first.setdefault(file, item) is not item:
            others.append((path(first[file]), path(item)))
    if not others:
        return [*first.values()], ''
    repeated = f'{len(others):,}, taken once, such as ' + escape_name(
        ' and '.join(dict.fromkeys(others[0])))
    print_log(f'found again: {repeated}', logger='current', level=logging.WARNING)
    return [*first.values()], repeated


def describe_left_out(endings: Counter, closed: Sequence[OSError]) -> str:
    """In one line what of a folder is not among its images; empty if that is nothing.

    Args:
        endings: How many files there are of each.
        closed: Of each folder that cannot be listed.
    """
    parts = [f'{count:,} {ending or "without an ending"}'
             + f' ({how_to_read(ending)} for these)' * bool(how_to_read(ending))
             for ending, count in endings.most_common(NAMED_ENDINGS)]
    if len(endings) > NAMED_ENDINGS:
        parts.append(f'{endings.total():,} files in all')
    if closed:
        first = closed[0]
        more = ', ...' if len(closed) > 1 else ''
        parts.append(f'{len(closed):,} folder{"s" * (len(closed) > 1)} that cannot be listed '
                     f'({first.filename}: {first.strerror}{more})')
    return ', '.join(escape_name(part) for part in parts)


def ending_of(file: str) -> str:
    """The ending of a file's name, in small letters, with its dot."""
    return os.path.splitext(file)[1].lower()


def real_paths(paths: Iterable[str]) -> Iterator[str]:
    """Without links on the way to a file, or in its place."""
    real, links = {}, {}
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in real:
            real[folder] = os.path.realpath(folder)
            links[folder] = {entry.name for entry in os.scandir(folder) if entry.is_symlink()}
        is_link = name in links[folder]
        yield os.path.realpath(path) if is_link else os.path.join(real[folder], name)
