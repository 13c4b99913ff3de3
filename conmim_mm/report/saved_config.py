"""The config a run has saved, read without running it."""

import ast
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..checkpoint.saved_config import plain_assignment

CONFIGS = ('*.py', '*/vis_data/config.py')


def newest_config(work_dir: Path) -> Path | None:
    """The config of the last start of a run; None where none was saved."""
    found = [path for pattern in CONFIGS for path in work_dir.glob(pattern)]
    return max(found, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)


def plain_settings(text: str) -> dict:
    """The settings at the top of a saved config, as far as they are plain data.

    A config is a program, and a report shall not run what lies in a folder. MMEngine saves one as
    assignments of literals and calls of ``dict``; anything else is left out. Tuples become
    lists, as in the other files that a report is made of.

    Args:
        text: The config's text.
    """
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    settings = {}
    for statement in module.body:
        with suppress(ValueError, RecursionError):
            name, value = plain_assignment(statement)
            settings[name] = _as_in_json(value)
    return settings


def _as_in_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_in_json(item) for key, item in value.items()}
    return [_as_in_json(item) for item in value] if isinstance(value, list | tuple) else value
