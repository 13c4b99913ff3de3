"""Which of the folders that a pattern fits are trained on, and what else it fits."""

import glob
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...datasets.class_folders import HELD_OUT_NAMES, TRAIN_NAMES
from ...datasets.image_formats.file_search import is_image_or_array, only_other_files
from ...datasets.labelled_folder import training_part
from ...errors import InputError
from ...utils.files import escape_name


@dataclass(frozen=True)
class Matches:
    """What a pattern fits, absolute and in alphabetical order.

    Attributes:
        folders: To train on.
        held_out: Folders in a part such as ``val``, where others are in the ``train`` beside it.
        without_images: Folders, and what is in each instead.
        loose: Images that lie beside the folders.
    """

    folders: Sequence[Path] = ()
    held_out: Collection[Path] = ()
    without_images: Sequence[tuple[Path, str]] = ()
    loose: Sequence[Path] = ()


def match_folders(pattern: Path) -> Matches:
    """Looks for folders that a pattern of :mod:`glob` fits, whatever is in them.

    Raises:
        InputError: There is none.
    """
    found = dict.fromkeys(
        Path(name).absolute() for name in sorted(glob.glob(str(pattern), recursive=True)))
    folders = [path for path in found if path.is_dir()]
    if not folders:
        files = f'{len(found)} files, but no folder' if found else 'nothing'
        raise InputError(f'--data: the pattern {pattern} fits {files}: give folders, or patterns '
                         'of folders')
    return Matches(folders, loose=[
        path for path in found if is_image_or_array(path.name) and path.is_file()])


def match_folders_of_images(pattern: Path) -> Matches:
    """As :func:`match_folders`, of those with images, less what is held out beside ``train``.

    Raises:
        InputError: There is none.
    """
    found = match_folders(pattern)
    held_out = _held_out(found.folders)
    folders, without = [], []
    for folder in found.folders:
        if folder in held_out:
            continue
        others = only_other_files(str(folder / training_part(str(folder))))
        if others is None:
            folders.append(folder)
        else:
            without.append((folder, others))
    matches = Matches(folders, held_out, without, found.loose)
    if not folders:
        raise InputError(f'--data: the pattern {pattern} fits no folder of images; '
                         f'{describe_others([matches], ())}')
    return matches


def describe_others(matches: Iterable[Matches], taken: Iterable[Path]) -> str:
    """In one line what patterns fit and is not trained on; empty if that is nothing.

    Args:
        matches: Of each pattern.
        taken: All folders that are trained on, be it by another pattern.
    """
    taken = set(taken)
    held_out = _each(folder for one in matches for folder in one.held_out if folder not in taken)
    without = _each(pair for one in matches for pair in one.without_images)
    loose = _each(path for one in matches for path in one.loose if taken.isdisjoint(path.parents))
    parts = []
    if without:
        folder, others = without[0]
        parts.append(f'{_count(without, "folder")} without images, such as {folder}'
                     + f' ({others} there)' * bool(others))
    if held_out:
        parts.append(f'{_count(held_out, "folder")} to hold out beside a part to train on, such as '
                     f'{held_out[0]}')
    if loose:
        parts.append(f'{_count(loose, "image")} beside the folders, such as {loose[0]}')
    return '; '.join(map(escape_name, parts))


def _held_out(folders: Sequence[Path]) -> dict[Path, None]:
    """In their order, and quick to look up: there may be one for each class."""
    places = {place for folder in folders for place in (folder, *folder.parents)}
    with_training = {place.parent for place in places if place.name.lower() in TRAIN_NAMES}
    return dict.fromkeys(folder for folder in folders if any(
        place.name.lower() in HELD_OUT_NAMES and place.parent in with_training
        for place in (folder, *folder.parents)))


def _each(found: Iterable) -> list:
    return [*dict.fromkeys(found)]


def _count(found: Sequence, name: str) -> str:
    return f'{len(found):,} {name}{"s" * (len(found) > 1)}'
