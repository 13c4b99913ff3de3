"""What the command-line tools share."""

import gc
import weakref

import pytest

from conmim_mm.errors import InputError, StoppedBySignal
from conmim_mm.utils import cli


class Run:

    def __init__(self) -> None:
        self.hook = self


@pytest.mark.parametrize('end, status', [
    (None, None), (StoppedBySignal, 143), (InputError, 2), (KeyboardInterrupt, 130),
    (SystemExit, 0)])
def test_nothing_of_a_run_is_left(monkeypatch, end: type[BaseException] | None,
                                  status: int | None) -> None:
    monkeypatch.setattr(cli, 'gc', gc)
    monkeypatch.setattr(gc, 'freeze', lambda: None)
    left = []

    def main() -> None:
        run = Run()
        left.append(weakref.ref(run))
        if end is not None:
            raise end()

    try:
        cli.run_tool(main)
        ended_with = None
    except SystemExit as exit_:
        ended_with = exit_.code
    assert ended_with == status
    assert left[0]() is None
