"""The command line ``conmim``: one module per sub-command, imported when it is used."""

import contextlib
import importlib
import io
import os
from collections.abc import Sequence

from ..utils.cli import run_tool
from .arguments import parse_arguments

MODULES = dict(
    pretrain='apis.pretrain.start', knn='commands.knn', linear='commands.linear',
    embed='apis.embed', export='apis.export', report='apis.report',
    doctor='commands.doctor.doctor')
# do without the components, and say what is wrong where these can't be imported
LEAN_COMMANDS = ('doctor',)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs ``conmim``.

    Args:
        argv: The words after ``conmim``; by default those that the process was started with.
    """
    args = parse_arguments(argv)

    def run() -> None:
        if args.command not in LEAN_COMMANDS:
            from .. import register_all_modules

            # mmpretrain's data sets print that they lack a library nobody asked for
            with contextlib.redirect_stdout(io.StringIO()):
                register_all_modules()
        if getattr(args, 'trust_checkpoint', False):
            from ..checkpoint.reading import TRUST_VARIABLE

            os.environ[TRUST_VARIABLE] = '1'
        importlib.import_module(f'..{MODULES[args.command]}', __package__).run(args)

    run_tool(run)
