"""Reads a config as MMEngine saves it, as data: whoever wrote it, none of it is run."""

import ast
from collections.abc import Callable
from typing import Any

_NUMBERS = {'inf': float('inf'), 'nan': float('nan')}


def read_saved_config(text: str) -> dict[str, Any]:
    """The settings of a config that MMEngine saved.

    Args:
        text: Of the config: assignments of what :func:`plain_value` takes.

    Raises:
        ValueError: It holds anything else.
        SyntaxError: It is no Python.
    """
    return dict(map(plain_assignment, ast.parse(text).body))


def plain_assignment(statement: ast.stmt) -> tuple[str, Any]:
    """The name and the value of an assignment.

    Raises:
        ValueError: It is no assignment to a name, or of more than :func:`plain_value` takes.
    """
    if (not isinstance(statement, ast.Assign) or len(statement.targets) != 1
            or not isinstance(statement.targets[0], ast.Name)):
        raise ValueError(f'line {statement.lineno} assigns no value')
    return statement.targets[0].id, plain_value(statement.value)


def plain_value(node: ast.expr) -> Any:
    """The value of a literal, or of ``dict(key=value)``, ``dict({...})``, ``inf`` and ``nan``.

    These are what MMEngine writes.

    Args:
        node: An expression.

    Raises:
        ValueError: It is, or holds, anything else.
    """
    match node:
        case ast.Call():
            return _dict_of(node)
        case ast.Dict():
            if None in node.keys:
                raise ValueError(f'line {node.lineno} unpacks a dict')
            return _hashed(node, lambda: dict(
                zip(map(plain_value, node.keys), map(plain_value, node.values), strict=True)))
        case ast.List():
            return [plain_value(item) for item in node.elts]
        case ast.Tuple():
            return tuple(plain_value(item) for item in node.elts)
        case ast.Set():
            return _hashed(node, lambda: {plain_value(item) for item in node.elts})
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
    values = plain_value(call.args[0]) if call.args else {}
    return values | {keyword.arg: plain_value(keyword.value) for keyword in call.keywords}


def _hashed(node: ast.expr, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except TypeError:  # as of a key that is a list
        raise ValueError(f'line {node.lineno} has a key that cannot be one') from None
