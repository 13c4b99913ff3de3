"""Folders that are classes, parts to learn from and to hold out, and what is wrong with them."""

import os

from .image_formats.file_search import EXTENSIONS, is_image
from .image_formats.known import ARRAYS

TRAIN_NAMES = ('train', 'training')
HELD_OUT_NAMES = ('val', 'valid', 'validation', 'test')


def sub_folders(folder: str) -> tuple[str, ...]:
    """Names of the folders in one, in alphabetical order, hidden ones left out."""
    if not os.path.isdir(folder):
        return ()
    return tuple(sorted(entry.name for entry in os.scandir(folder)
                        if entry.is_dir() and not entry.name.startswith('.')))


def images_in(folder: str) -> list[str]:
    """Names of the images that lie in a folder itself, in alphabetical order."""
    if not os.path.isdir(folder):
        return []
    return sorted(entry.name for entry in os.scandir(folder)
                  if is_image(entry.name) and entry.is_file())


def class_folders(folder: str) -> tuple[str, ...]:
    """Names of the sub-folders if they look like classes, otherwise empty.

    Classes are two or more folders with images in them or further below, and no images beside them.
    Hidden and empty folders do not count, and ``train/`` and ``val/`` are no classes but parts.
    """
    names = _with_images(folder)
    are_parts = {name.lower() for name in names} <= {*TRAIN_NAMES, *HELD_OUT_NAMES}
    return names if len(names) >= 2 and not are_parts and not images_in(folder) else ()


def parts_of(root: str) -> list[tuple[str, str]]:
    """The folders to learn from and to hold out in a folder, the likeliest pair first.

    Args:
        root: Holds, say, ``train/`` and ``val/``, or ``Train/`` and ``Test/``.
    """
    training, held_out = (
        [name for known in known_names for name in sub_folders(root) if name.lower() == known]
        for known_names in (TRAIN_NAMES, HELD_OUT_NAMES))
    return [(one, other) for one in training for other in held_out]


def common_classes(root: str) -> tuple[str, str, tuple[str, ...]] | None:
    """A part to learn from, one to hold out with no other classes, and the classes of the first.

    Where several are held out, one with all classes comes before one that lacks some.
    """
    fitting = []
    for training, held_out in parts_of(root):
        classes = class_folders(os.path.join(root, training))
        other = os.path.join(root, held_out)
        own = _with_images(other)
        if classes and own and set(own) <= set(classes) and not images_in(other):
            fitting.append((len(own) < len(classes), training, held_out, classes))
    return min(fitting, key=lambda one: one[0])[1:] if fitting else None


def why_no_labels(root: str) -> str:
    """What keeps a folder's sub-folders from being classes, in words."""
    for training, held_out in parts_of(root):
        ours, theirs = (os.path.join(root, name) for name in (training, held_out))
        unknown = set(_with_images(theirs)) - set(_with_images(ours))
        if unknown and _with_images(ours):
            return (f'{theirs} has classes that have no image in {ours}: '
                    f'{", ".join(sorted(unknown))}')
        return _why_no_classes(theirs if class_folders(ours) else ours)
    return _why_no_classes(root)


def _why_no_classes(folder: str) -> str:
    names, stray = _with_images(folder), images_in(folder)
    if names and stray:
        return f'{os.path.join(folder, stray[0])} lies beside the class folders'
    if stray:
        return f'the images lie in {folder} itself, not in class folders'
    inner = [path for name in sub_folders(folder) if common_classes(
        path := os.path.join(folder, name)) or class_folders(path)]
    if len(names) < 2 and inner:
        return f'the classes lie in {inner[0]}, so give that'
    if not names:
        return f'no folder in {folder} has images in it'
    if len(names) == 1:
        return f'{folder} has one folder of images only, {names[0]}'
    if not class_folders(folder):
        return f'{" and ".join(names)} in {folder} are parts, but hold no class folders'
    return f'no class in {folder} has the five images of which one is held out'


def _with_images(folder: str) -> tuple[str, ...]:
    """Those with images; where none has any, those with arrays."""
    for endings in (EXTENSIONS, ARRAYS.endings):
        if found := tuple(name for name in sub_folders(folder)
                          if _has_images(os.path.join(folder, name), endings)):
            return found
    return ()


def _has_images(folder: str, endings: tuple[str, ...]) -> bool:
    """Whether there are images in it or, unless it is a part of a split, below it."""
    is_part = os.path.basename(folder).lower() in (*TRAIN_NAMES, *HELD_OUT_NAMES)
    for _, folders, files in os.walk(folder):
        if any(is_image(file, endings) for file in files):
            return True
        folders[:] = [] if is_part else [name for name in folders if not name.startswith('.')]
    return False
