"""Labels by the names of the training's classes, whatever another data set's folders are."""

import logging
from collections.abc import Sequence

from mmengine.logging import print_log
from torch.utils.data import Dataset

from ..errors import InputError


def names_of_classes(dataset: Dataset) -> list[str]:
    """The names of a data set's classes in the order of their labels; empty without any."""
    return list((getattr(dataset, 'metainfo', None) or {}).get('classes') or ())


def agree_on_classes(classes: Sequence[str], dataset: Dataset) -> None:
    """Gives a data set the labels that these classes have by their places.

    One whose labels are the names of folders is labelled anew where it lacks some of the classes;
    any other has to have the same ones in the same order, though upper and lower case may differ.
    Where one of the two has no names nothing can be compared.

    Args:
        classes: Of the training.
        dataset: To validate or test on, loaded.

    Raises:
        InputError: It has classes that the training has not, or the same ones otherwise.
    """
    classes, own = list(classes), names_of_classes(dataset)
    if not classes or not own or own == classes:
        return
    where = getattr(dataset, 'folder', '') or getattr(dataset, 'ann_file', '') or 'the other data'
    by_folders = hasattr(dataset, 'use_classes') and not dataset.ann_file
    if not by_folders and [*map(str.lower, own)] == [*map(str.lower, classes)]:
        print_log(f'the classes of {where} are spelt otherwise than those of the training '
                  f'({some_of(own)}; {some_of(classes)}): they are taken for the same',
                  logger='current', level=logging.WARNING)
        return
    if unknown := [name for name in own if name not in classes]:
        raise InputError(f'different classes: {where} has {some_of(unknown)}, which the training '
                         f'has not (it has {some_of(classes)}); the names must be the same')
    if not by_folders:
        raise InputError(f'the classes of {where} are fewer than those of the training, or in '
                         'another order: set metainfo.classes of all data sets to the same list, '
                         "or read folders by type='ImageFiles', which goes by their names")
    dataset.use_classes(classes)
    if missing := [name for name in classes if name not in own]:
        print_log(f'no images of {some_of(missing)} in {where}: its labels go by the names of the '
                  "training's classes", logger='current', level=logging.WARNING)


def some_of(names: Sequence[str], count: int = 5) -> str:
    """The first of some names, for a message."""
    return ', '.join(names[:count]) + (', ...' if len(names) > count else '')
