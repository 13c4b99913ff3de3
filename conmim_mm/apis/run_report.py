"""The report of a run, made anew from what lies in its folder."""

from pathlib import Path

from ..errors import InputError
from ..report import build_report
from .pretraining.run_folder import holds_run


def report(work_dir: str | Path) -> Path:
    """Writes the report of a run; where it is.

    Args:
        work_dir: Folder of the run.

    Raises:
        InputError: There is no run in it.
    """
    work_dir = Path(work_dir)
    if not work_dir.is_dir():
        raise InputError(f'no such folder: {work_dir}')
    if not holds_run(work_dir):
        raise InputError(f'there is no run in {work_dir}')
    return build_report(work_dir)
