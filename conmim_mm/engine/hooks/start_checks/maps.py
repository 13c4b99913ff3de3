"""Maps of labels for semantic segmentation: there, of the right form, and with all classes."""

import logging
import os
from collections import Counter
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from torch.utils.data import Dataset

from ....datasets.image_formats.file_search import is_image
from ....datasets.image_formats.image_size import opened
from ....datasets.segmentation_folder import check_map_form
from ....datasets.storage import reads_local_files
from ....errors import InputError

MAX_VALUE = 2**16  # higher ones are too high, whatever they are
FEWEST_MAPS, MOST_MAPS = 16, 256  # whose labels are read; the more where classes are missing


def check_maps(dataset: Dataset, infos: list[dict], num_classes: int) -> tuple[set[int], int]:
    """Looks at maps of labels, at the pixels of 16 and, while classes are missing, of up to 256.

    Args:
        dataset: Of mmsegmentation, loaded.
        infos: What it knows about samples, evenly spread.
        num_classes: Of the model.

    Returns:
        The labels that occur, and of how many maps: none where they lie in another storage.

    Raises:
        InputError: A map is missing, has channels, another size than its image or a label too high;
            or one class is all that the maps have.
    """
    if not reads_local_files(dataset):
        return set(), 0
    _report_other_endings(dataset)
    # A map of other labels is the data set's own way, which only its pipeline follows.
    infos = [info for info in infos if 'seg_map_path' in info and not info.get('label_map')]
    infos = [info for info in infos if '://' not in info['seg_map_path'] + info['img_path']]
    for info in infos:
        _check_form(info['seg_map_path'], info['img_path'])
    seen, ignored, looked_at = set(), 0, 0
    for chosen in _rounds(infos):
        for info in chosen:
            labels, count = _labels(info['seg_map_path'], dataset, num_classes)
            seen |= labels
            ignored += count
        looked_at += len(chosen)
        if len(seen) == num_classes:
            break
    # with reduce_zero_label a lone class beside the background may be meant so
    fewest = 1 if dataset.reduce_zero_label else 2
    if looked_at and num_classes > 1 and len(seen) < fewest and ignored:
        raise InputError(_only_one_class(dataset, infos, seen))
    return seen, looked_at


def _rounds(infos: list[dict]) -> list[list[dict]]:
    most = infos[::max(1, -(-len(infos) // MOST_MAPS))]
    few = most[::max(1, -(-len(most) // FEWEST_MAPS))]
    first = {info['seg_map_path'] for info in few}
    return [few, [info for info in most if info['seg_map_path'] not in first]]


def _check_form(path: str, image: str) -> None:
    if not os.path.isfile(path):
        ending = ending_beside(path)
        hint = (f'there is one ending in {ending}: set seg_map_suffix' if ending else
                'is data_prefix.seg_map_path right?')
        raise InputError(f'no such label map: {path} ({hint})')
    check_map_form(path, image)


def _labels(path: str, dataset: Dataset, num_classes: int) -> tuple[set[int], int]:
    """The labels in a map, and how many of its pixels have none."""
    with opened(path) as image:
        counts = np.bincount(np.asarray(image).astype(int).clip(0, MAX_VALUE).ravel())
    values = np.flatnonzero(counts)
    # As mmseg's LoadAnnotations: 0 becomes 255, "no label", and the others move down.
    none = values == dataset.ignore_index
    if dataset.reduce_zero_label:
        none |= values == 0
    labels = values[~none] - bool(dataset.reduce_zero_label)
    if len(labels) and labels[-1] >= num_classes:
        raise InputError(f'{path} has the label {labels[-1]}, but the model has {num_classes} '
                         f'classes (0 to {num_classes - 1}, {dataset.ignore_index} for no label)')
    return set(labels.tolist()), int(counts[values][none].sum())


def _only_one_class(dataset: Dataset, infos: list[dict], seen: set[int]) -> str:
    names = dataset.metainfo.get('classes') or range(256)
    what = f'one class, {names[next(iter(seen))]},' if seen else 'no class'
    none = f'0 and {dataset.ignore_index}' if dataset.reduce_zero_label else dataset.ignore_index
    return (f'the maps have {what} and else pixels without label (a value of {none}), as '
            f'{infos[0]["seg_map_path"]}: write the classes as 0, 1, 2, ...'
            + (', or set reduce_zero_label=False' if dataset.reduce_zero_label else ''))


def _report_other_endings(dataset: Dataset) -> None:
    folder = dataset.data_prefix.get('img_path')
    if dataset.ann_file or not folder or not os.path.isdir(folder):
        return
    others = other_endings(folder, dataset.img_suffix)
    if others:
        print_log(f'left out of {folder}: {", ".join(f"{n} of {end}" for end, n in others.items())}'
                  f', as img_suffix is {dataset.img_suffix}', logger='current',
                  level=logging.WARNING)


def ending_beside(path: str) -> str:
    """How a file ends that is there in the place of a missing one; empty without any."""
    folder, name = os.path.split(os.path.splitext(path)[0])
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return next((ending for stem, ending in map(os.path.splitext, names) if stem == name), '')


def other_endings(folder: str, suffix: str) -> dict[str, int]:
    """How many images below a folder end otherwise, by their endings."""
    return Counter(Path(name).suffix for _, _, files in os.walk(folder) for name in files
                   if is_image(name) and not name.endswith(suffix))
