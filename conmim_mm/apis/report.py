"""``conmim report``: the report of a run, made anew from what lies in its folder."""

import argparse

from ..errors import InputError
from .pretrain.run_folder import holds_run


def run(args: argparse.Namespace) -> None:
    """Writes the report and says where.

    Raises:
        InputError: There is no run in the folder.
    """
    if not args.work_dir.is_dir():
        raise InputError(f'no such folder: {args.work_dir}')
    if not holds_run(args.work_dir):
        raise InputError(f'there is no run in {args.work_dir}')
    from ..report import build_report

    print(f'wrote {build_report(args.work_dir)}')
