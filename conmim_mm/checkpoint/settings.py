"""The settings of a run, as its checkpoints keep them: data, of which nothing is ever run."""

import ast
from collections.abc import Iterator
from typing import Any

SETTINGS = 'settings'  # in a checkpoint's meta, beside MMEngine's text of the config

_MAX_DEPTH = 50
_MAX_SIZE = 200_000  # values and characters; a detector's config has some ten thousand
_NUMBERS = {'inf': float('inf'), 'nan': float('nan')}


def saved_settings(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The resolved config of the run that made a checkpoint.

    In one of MMEngine alone it is a text, of which :func:`read_literals` takes the values.

    Args:
        checkpoint: Its contents, whoever wrote them.

    Returns:
        Dicts, lists and tuples of strings, numbers and None; empty where it carries no config.

    Raises:
        ValueError: It holds anything else, such as code, or more than a config does.
    """
    run = run_record(checkpoint)
    try:
        settings = run[SETTINGS] if SETTINGS in run else read_literals(run.get('cfg') or '')
        if not isinstance(settings, dict):
            raise ValueError(f'it is a {type(settings).__name__}')
        return _checked_copy(settings)
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f'it is no config: {error}') from None


def run_record(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint, or a backbone taken out of one, tells of the run that made it."""
    meta = checkpoint.get('meta')
    run = meta.get('pretraining', meta) if isinstance(meta, dict) else None
    return run if isinstance(run, dict) else {}


def read_literals(text: str) -> dict[str, Any]:
    """The values that a config assigns, in the way that MMEngine writes one.

    That is ``name = value`` with literals, ``dict(key=value)``, ``dict({...})``, ``inf`` and
    ``nan``.

    Raises:
        ValueError: It holds anything else.
        SyntaxError: It is no Python.
        TypeError: It is no text, or has a key that cannot be one.
    """
    return dict(map(_assignment, ast.parse(text).body))


def dicts_in(part: Any, without: str | None = None) -> Iterator[dict]:
    """The dicts in settings at any depth, but for those below the key ``without``."""
    if isinstance(part, dict):
        yield part
        part = [value for key, value in part.items() if without is None or key != without]
    if isinstance(part, list | tuple):
        for value in part:
            yield from dicts_in(value, without)


def _checked_copy(settings: dict) -> dict:
    left = _MAX_SIZE

    # a file may hold one list many times, or a list in itself: a copy of limited size does not
    def copy(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1 + len(value) if isinstance(value, str) else 1
        if depth > _MAX_DEPTH or left < 0:
            raise ValueError('it holds too much')
        if isinstance(value, dict):
            return {copy(key, depth + 1): copy(item, depth + 1) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(copy(item, depth + 1) for item in value)
        if value is None or type(value) in (bool, int, float, str):
            return value
        raise ValueError(f'it holds a {type(value).__name__}')

    return copy(settings, 0)


def _assignment(statement: ast.stmt) -> tuple[str, Any]:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name, _value(statement.value)
    raise ValueError(f'line {statement.lineno} assigns no value')


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Call():
            return _dict_of(node)
        case ast.Dict():
            if None in node.keys:
                raise ValueError(f'line {node.lineno} unpacks a dict')
            return dict(zip(map(_value, node.keys), map(_value, node.values), strict=True))
        case ast.List() | ast.Set():
            return [_value(item) for item in node.elts]
        case ast.Tuple():
            return tuple(_value(item) for item in node.elts)
        case ast.Name(id=name) if name in _NUMBERS:
            return _NUMBERS[name]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Name(id=name)) if name in _NUMBERS:
            return -_NUMBERS[name]
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(f'line {node.lineno} computes {ast.unparse(node)[:40]}') from None


def _dict_of(call: ast.Call) -> dict:
    if not isinstance(call.func, ast.Name) or call.func.id != 'dict':
        raise ValueError(f'line {call.lineno} calls {ast.unparse(call.func)[:40]}')
    if len(call.args) > 1 or not all(isinstance(one, ast.Dict) for one in call.args):
        raise ValueError(f'line {call.lineno} makes a dict of something else than a dict')
    if any(keyword.arg is None for keyword in call.keywords):
        raise ValueError(f'line {call.lineno} unpacks a dict')
    values = _value(call.args[0]) if call.args else {}
    return values | {keyword.arg: _value(keyword.value) for keyword in call.keywords}
