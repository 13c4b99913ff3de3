"""Files that list images: text with a path per line, or CSV."""

import csv
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import InputError

PATH, LABEL = 'path', 'label'  # columns of a CSV file that begins with their names


class Listed(NamedTuple):
    """A line that names an image.

    Attributes:
        line: Its number, from 1.
        name: The path as it stands there.
        label: The number beside it; None without one.
    """

    line: int
    name: str
    label: int | None


def read_list(path: str) -> Iterator[Listed]:
    """The images that a file names, empty lines skipped.

    Args:
        path: Ends in ``.csv``: then columns ``path`` and ``label`` by the names in its first line,
            or the first two, where no ``path`` stands there. Anything else is text: a path, and
            behind a tab or a space perhaps a label. Bytes that are no UTF-8 are kept as they are.

    Raises:
        InputError: It cannot be read, or is no CSV.
    """
    try:
        with open(path, encoding='utf-8-sig', errors='surrogateescape', newline='') as file:
            yield from (_of_table if path.lower().endswith('.csv') else _of_text)(file)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f'cannot read the list file {path}: {error}') from error


def _of_text(lines: Iterator[str]) -> Iterator[Listed]:
    for number, line in enumerate(map(str.strip, lines), start=1):
        head, _, tail = line.replace('\t', ' ').rpartition(' ')
        if head and tail.isdecimal():
            yield Listed(number, head.strip(), int(tail))
        elif line:
            yield Listed(number, line, None)


def _of_table(lines: Iterator[str]) -> Iterator[Listed]:
    rows = csv.reader(lines, strict=True)  # or an open quote takes all rows behind it
    path, label, is_first = 0, 1, True
    for row in rows:
        cells = [cell.strip() for cell in row]
        names = [cell.lower() for cell in cells]
        if is_first and PATH in names:
            path, label = names.index(PATH), names.index(LABEL) if LABEL in names else len(names)
        elif any(cells):
            cell = cells[label] if label < len(cells) else ''
            yield Listed(rows.line_num, cells[path] if path < len(cells) else '',
                         int(cell) if cell.isdecimal() else None)
        is_first &= not any(cells)
