"""The settings of a run, as its checkpoints keep them: data, of which nothing is ever run."""

import ast
import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

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


def saved_arguments(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint's settings give the backbone; empty where none can be read.

    Args:
        checkpoint: As for :func:`saved_settings`.
    """
    try:
        backbone = saved_settings(checkpoint)['model']['backbone']
    except (KeyError, TypeError, ValueError):  # none, or more than settings
        return {}
    return backbone if isinstance(backbone, dict) else {}


def saved_reading(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """How a run has read its images, as ``reading`` in its training pipeline; empty for 8-bit RGB.

    Args:
        checkpoint: As for :func:`saved_settings`.
    """
    try:
        return reading_in(saved_settings(checkpoint).get('train_dataloader'))
    except ValueError:
        return {}


def reading_in(loader: Any) -> dict[str, Any]:
    """The same of a loader's settings."""
    return next((found for step in dicts_in(loader)
                 if isinstance(found := step.get('reading'), dict)), {})


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
    settings = {}
    for statement in ast.parse(text).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                try:
                    settings[name] = ast.literal_eval(_AsLiteral().visit(value))
                except ValueError:
                    raise ValueError(f'line {statement.lineno} computes a value') from None
            case _:
                raise ValueError(f'line {statement.lineno} assigns no value')
    return settings


def settings_text(settings: dict[str, Any]) -> str:
    """Settings as the text of a config, which MMEngine reads back as what they are.

    Args:
        settings: Plain data.

    Raises:
        ValueError: They have names such that the text would be more than settings.
    """
    try:
        text = Config(_with_written_infinity(settings)).pretty_text
        # MMEngine fills in what stands in double braces, be it the name of a folder
        text = text.replace('{{', r'{\x7b')
        read_literals(text)  # MMEngine writes the keys of a dict as they are, quotes and all
    except (KeyError, SyntaxError, TypeError) as error:
        raise ValueError(str(error)) from error
    return text


def dicts_in(part: Any, without: str | None = None) -> Iterator[dict]:
    """The dicts in settings at any depth, but for those below the key ``without``."""
    if isinstance(part, dict):
        yield part
        part = [value for key, value in part.items() if without is None or key != without]
    if isinstance(part, list | tuple):
        for value in part:
            yield from dicts_in(value, without)


def flat_settings(value: Any, name: str = '') -> Iterator[tuple[str, Any]]:
    """Settings by dotted key; lists of dicts by index, other values whole."""
    if isinstance(value, Mapping) and value:
        items = value.items()
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        items = enumerate(value)
    else:
        yield name, value
        return
    for key, item in items:
        yield from flat_settings(item, f'{name}.{key}' if name else str(key))


def type_name(part: Any) -> str:
    """The bare name of the component that a part of a config describes; '' where it names none.

    Args:
        part: A dict with a ``type``, or such a type itself: a name with or without scope or module,
            or, as in MMEngine's pure-Python configs, the class or function.
    """
    kind = part.get('type', '') if isinstance(part, Mapping) else part
    is_built = isinstance(kind, type) or inspect.isroutine(kind)
    return (kind.__name__ if is_built else str(kind)).rpartition('.')[2]


def component(part: Mapping[str, Any], registry: Registry) -> Any:
    """The class or function that a part of a config describes; None if it is not registered."""
    kind = part['type']
    return registry.get(kind) if isinstance(kind, str) else kind


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


def _with_written_infinity(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_written_infinity(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with_written_infinity(item) for item in value)
    return _Infinity(value) if isinstance(value, float) and math.isinf(value) else value


class _Infinity(float):

    def __repr__(self) -> str:  # MMEngine writes inf, a name that it does not know when it reads
        return '-1e309' if self < 0 else '1e309'


class _AsLiteral(ast.NodeTransformer):
    """Writes what MMEngine writes as literals; anything else stays, for Python to refuse."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id='dict'), args=[ast.Dict() as items], keywords=[]):
                return items
            case ast.Call(func=ast.Name(id='dict'), args=[], keywords=items):
                # the key of dict(**items) is None, which is no node
                return ast.Dict([item.arg and ast.Constant(item.arg) for item in items],
                                [item.value for item in items])
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(_NUMBERS[node.id]) if node.id in _NUMBERS else node
