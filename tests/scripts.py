"""Scripts below ``tools/``, as they are typed but in this process."""

import sys
from types import ModuleType

import pytest

from .conftest import load_tool


@pytest.fixture
def run_script(monkeypatch):
    """Calls a script, named by its path or its module, with words behind it."""

    def call(script: str | ModuleType, *words: object) -> None:
        tool = load_tool(script) if isinstance(script, str) else script
        monkeypatch.setattr(sys, 'argv', [tool.__name__, *map(str, words)])
        tool.run_tool(tool.main)

    return call


@pytest.fixture
def refused(run_script, capsys):
    """Calls a script that must end with status 2 and one line of error, which it gives back."""

    def call(script: str | ModuleType, *words: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run_script(script, *words)
        assert stop.value.code == 2
        error, = (line for line in capsys.readouterr().err.splitlines()
                  if line.startswith('error: '))
        return error

    return call
