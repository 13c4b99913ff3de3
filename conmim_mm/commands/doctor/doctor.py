"""``conmim doctor``: what is wrong with this installation or machine, and what to do about it."""

import shutil
import textwrap
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from . import checks_machine as machine
from . import checks_software as software
from .checks import NOTE, OK, PROBLEM, Check, collect

PROBLEM_STATUS = 1
_SYMBOLS = {OK: 'ok', NOTE: 'note', PROBLEM: 'PROBLEM'}


def run(folder: Path | None, **reading: object) -> None:
    """Prints the table; ends with status 1 where there is a problem.

    Args:
        folder: Of images to look at, too.
        **reading: How to read them, as of :func:`check_data`.
    """
    counts = dict.fromkeys(_SYMBOLS, 0)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for check in all_checks(folder, **reading):
            counts[check.status] += 1
            print(format_check(check), flush=True)
    if counts[PROBLEM]:
        print(f'\n{counts[PROBLEM]} problem{"s" * (counts[PROBLEM] > 1)}: see the lines with ->')
        raise SystemExit(PROBLEM_STATUS)
    print('\nno problems')


def all_checks(folder: Path | None, **reading: object) -> Iterator[Check]:
    """The checks in their order; those that take time come last."""
    yield from collect(
        software.check_python, software.check_versions,
        software.check_conflicting_distributions, software.check_imports,
        software.check_toolboxes,
        machine.check_gpus, machine.check_disk, machine.check_shared_memory,
        machine.check_open_files, machine.check_cores)
    if folder:
        yield from collect(partial(check_images, folder, **reading))


def check_images(folder: Path, **reading: object) -> Iterator[Check]:
    """The checks of a folder, which need libraries that may be broken."""
    from .checks_data import check_data

    yield from check_data(folder, **reading)


def format_check(check: Check) -> str:
    """The lines of a check, as wide as the terminal."""
    width = max(shutil.get_terminal_size().columns, 60)
    indent = ' ' * 24
    lines = textwrap.fill(f'{_SYMBOLS[check.status]:<8}{check.name:<16}{check.finding}', width,
                          subsequent_indent=indent)
    if check.advice:
        lines += '\n' + textwrap.fill(f'-> {check.advice}', width, initial_indent=indent,
                                      subsequent_indent=f'{indent}   ', break_long_words=False,
                                      break_on_hyphens=False)
    return lines
