"""Files that list images: text with a path per line, or CSV."""

import csv
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..errors import InputError

PATH, LABEL = 'path', 'label'  # columns of a CSV file that begins with their names


class Listed(NamedTuple):
    """A line that names an image.

    Attributes:
        line: Its number, from 1.
        name: The path as it stands there.
        label: The number beside it; None without one.
        other: What stands in the place of a label and is no whole number.
    """

    line: int
    name: str
    label: int | None
    other: str = ''

    @classmethod
    def with_label(cls, line: int, name: str, text: str) -> 'Listed':
        """What stands in the place of its label may be anything."""
        return cls(line, name, int(text)) if text.isdecimal() else cls(line, name, None, text)


def read_list(path: str, is_file: Callable[[str], bool] = lambda name: False) -> Iterator[Listed]:
    """The images that a file names, empty lines skipped.

    Args:
        path: Ends in ``.csv``: then columns ``path`` and ``label`` by the names in its first line,
            or the first two, where no ``path`` stands there. Anything else is text: a path, and
            behind a tab or a space perhaps a label. Bytes that are no UTF-8 are kept as they are.
        is_file: Whether there is a file of a name. Where columns have no names, a whole line that
            is one is a path without a label: ``series/IM 12``.

    Raises:
        InputError: It cannot be read, or is no CSV.
    """
    try:
        with open(path, encoding='utf-8-sig', errors='surrogateescape', newline='') as file:
            yield from (_of_table if path.lower().endswith('.csv') else _of_text)(file, is_file)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f'cannot read the list file {path}: {error}') from error


def _of_text(lines: Iterator[str], is_file: Callable[[str], bool]) -> Iterator[Listed]:
    for number, line in enumerate(map(str.strip, lines), start=1):
        name, text = map(str.strip, line.split('\t', 1) if '\t' in line else
                         line.rpartition(' ')[::2])
        if line and name and not is_file(line) and (
                text.isdecimal() or '\t' in line or is_file(name)):
            yield Listed.with_label(number, name, text)
        elif line:
            yield Listed(number, line, None)


def _of_table(lines: Iterator[str], is_file: Callable[[str], bool]) -> Iterator[Listed]:
    rows = csv.reader(lines, strict=True)  # or an open quote takes all rows behind it
    path, label, is_first, has_names = 0, 1, True, False
    for row in rows:
        cells = [cell.strip() for cell in row]
        names = [cell.lower() for cell in cells]
        if is_first and PATH in names:
            path, label = names.index(PATH), names.index(LABEL) if LABEL in names else len(names)
            has_names = True
        elif len(cells) > 1 and not has_names and is_file(whole := ','.join(row).strip()):
            yield Listed(rows.line_num, whole, None)
        elif any(cells):
            yield Listed.with_label(rows.line_num, cells[path] if path < len(cells) else '',
                                    cells[label] if label < len(cells) else '')
        is_first &= not any(cells)
