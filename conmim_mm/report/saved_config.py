"""The config a run has saved, read without running it."""

import ast
from pathlib import Path

CONFIGS = ('*.py', '*/vis_data/config.py')


def newest_config(work_dir: Path) -> Path | None:
    """The config of the last start of a run; None where none was saved."""
    found = [path for pattern in CONFIGS for path in work_dir.glob(pattern)]
    return max(found, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)


def plain_settings(text: str) -> dict:
    """The settings at the top of a saved config, as far as they are plain data.

    A config is a program, and a report shall not run what lies in a folder. MMEngine saves one as
    assignments of literals and calls of ``dict``; anything else is left out.

    Args:
        text: The config's text.
    """
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    settings = {}
    for statement in module.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                settings[statement.targets[0].id] = _value(statement.value)
            except (ValueError, RecursionError):
                continue
    return settings


def _value(node: ast.expr) -> object:
    if isinstance(node, ast.Call):
        if not (isinstance(node.func, ast.Name) and node.func.id == 'dict') or node.args:
            raise ValueError('a call of something else than dict')
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        # a key of None stands for **: no plain data
        return {ast.literal_eval(key): _value(value)
                for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    return ast.literal_eval(node)
