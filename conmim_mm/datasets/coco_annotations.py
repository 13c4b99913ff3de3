"""COCO's annotation format as many tools write it: completed where it is clear how, or refused."""

import json
import math
from collections import Counter
from collections.abc import Sequence

from ..errors import InputError

_REQUIRED = dict(categories=('id', 'name'), images=('id', 'file_name'),
                 annotations=('id', 'image_id', 'category_id'))
NO_BOX = 'has no bbox of four numbers'
NO_MASK = ('has no mask, but the config learns them: give it a segmentation, or learn boxes alone '
           '(configs/detection/README.md)')


def read_coco(path: str) -> dict:
    """An annotation file that has what nothing can stand in for.

    Args:
        path: The file.

    Returns:
        Its content: ``categories``, ``images`` and ``annotations``, the last perhaps empty.

    Raises:
        InputError: No such file, not in COCO's format, or an entry that lacks its id, what it
            refers to or its box; the message names it.
    """
    try:
        with open(path, encoding='utf-8-sig') as file:
            content = json.load(file)
    except FileNotFoundError:
        raise InputError(f'no such annotation file: {path} (is data_root right?)') from None
    except (ValueError, RecursionError) as error:
        raise InputError(f'{path} is not JSON: {error}') from error
    if not isinstance(content, dict) or not content.get('images') or 'categories' not in content:
        raise InputError(f"{path} is not in COCO's format: it must hold images, annotations and "
                         'categories')
    content.setdefault('annotations', [])
    for part, keys in _REQUIRED.items():
        _check_entries(content[part], keys, f'{path}: {part}')
    names = Counter(category['name'] for category in content['categories'])
    if twice := [name for name, count in names.items() if count > 1]:
        raise InputError(f'{path} has several categories of the name {twice[0]}')
    return content


def complete_annotation(entry: dict, needs_mask: bool) -> str | None:
    """Fills in, in place, what an annotation lacks and what follows from the rest.

    ``iscrowd`` becomes 0, ``bbox`` is read off the polygons, ``area`` is the box's, a polygon that
    stands by itself becomes a list of one, and polygons of fewer than three points go. Where a mask
    is needed and there is none the box's outline takes its place and the instance is one to ignore
    (``iscrowd`` 1).

    Args:
        entry: Of an annotation file.
        needs_mask: Whether masks are learnt or judged.

    Returns:
        ``NO_BOX`` or, where one is needed, ``NO_MASK``; None if it has them.
    """
    entry['iscrowd'] = int(entry.get('iscrowd') or 0)
    polygons = entry.get('segmentation')
    if isinstance(polygons, list):
        nested = [polygons] if polygons and not isinstance(polygons[0], list) else polygons
        polygons = [one for one in nested if len(one) >= 6 and len(one) % 2 == 0]
        entry['segmentation'] = polygons
        if polygons and not entry.get('bbox'):
            entry['bbox'] = _box_around(polygons)
    if not _is_box(entry.get('bbox')):
        return NO_BOX
    x, y, width, height = entry['bbox']
    area = entry.get('area')
    if not (_is_number(area) and area > 0):
        entry['area'] = width * height
    if not needs_mask or _is_mask(polygons):
        return None
    entry['segmentation'] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    entry['iscrowd'] = 1
    return NO_MASK


def _check_entries(entries: object, keys: Sequence[str], name: str) -> None:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f'{name} must be a list of entries')
    for number, entry in enumerate(entries):
        for key in keys:
            if entry.get(key) is None:
                raise InputError(f'{name}: the entry of id {entry.get("id")} (number {number}, '
                                 f'counted from 0) has no {key}')
    ids = Counter(entry['id'] for entry in entries)
    if twice := [one for one, count in ids.items() if count > 1]:
        raise InputError(f'{name}: the id {twice[0]} stands there {ids[twice[0]]} times')


def _is_box(box: object) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_mask(mask: object) -> bool:
    return bool(mask) and (isinstance(mask, list) or bool(mask.get('counts') and mask.get('size')))


def _box_around(polygons: list[list[float]]) -> list[float]:
    xs = [x for one in polygons for x in one[::2]]
    ys = [y for one in polygons for y in one[1::2]]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
