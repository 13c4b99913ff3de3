"""What ``conmim doctor`` reports: a check has a name, an outcome and what to do about it."""

import importlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

OK, NOTE, PROBLEM = 'ok', 'note', 'problem'


class Check(NamedTuple):
    """One line of the table.

    Attributes:
        status: ``OK``; ``NOTE``, for what is missing or slow but need not be there; ``PROBLEM``,
            for what keeps something from working.
        name: Of what was looked at.
        finding: What was found.
        advice: What to do, in one line; empty where nothing is to be done.
    """

    status: str
    name: str
    finding: str
    advice: str = ''


def try_import(name: str) -> tuple[object | None, str]:
    """A module, or None and why it can't be imported, in one line.

    Libraries that are broken or do not fit each other raise nearly anything.
    """
    try:
        return importlib.import_module(name), ''
    except Exception as error:
        return None, f'{type(error).__name__}: {first_line(error)}'


def first_line(error: BaseException) -> str:
    """What an exception says, cut to one readable line."""
    lines = str(error).strip().splitlines() or ['']
    return lines[0][:150]


def collect(*parts: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """The checks of several functions; one that fails itself is a line, not the end."""
    for part in parts:
        try:
            yield from part()
        except Exception as error:
            function = getattr(part, 'func', part)
            name = function.__name__.replace('check_', '').replace('_', ' ')
            yield Check(PROBLEM, name, f'the check failed: {type(error).__name__}: '
                        f'{first_line(error)}', 'report this line to the maintainers')
