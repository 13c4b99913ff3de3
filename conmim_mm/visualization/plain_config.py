"""Reads the config inside a checkpoint as data.

A checkpoint may be a stranger's. MMEngine would run its config as Python, and would call whatever
function the config names as a component's ``type``.
"""

import ast
from collections.abc import Iterator
from typing import Any

from mmpretrain.registry import MODELS, TRANSFORMS

# Where the components may be defined: what is built of them does no more than compute.
_HARMLESS = ('conmim_mm.', 'torch.nn.', 'mmcv.transforms.loading')


def check_components(values: dict[str, Any]) -> None:
    """Refuses components that are not this project's in what pictures are made with.

    That is the model, without its ``init_cfg``, which is not used, and the training pipeline.

    Args:
        values: Of a config.

    Raises:
        ValueError: The config names another component.
    """
    loader = values.get('train_dataloader') or {}
    pipeline = (loader.get('dataset') or {}).get('pipeline')
    for name in _types_in([values.get('model'), pipeline]):
        bare = str(name).removeprefix('mmpretrain.')
        found = [registry.module_dict[bare] for kind in (MODELS, TRANSFORMS)
                 for registry in (kind, kind.parent) if bare in registry.module_dict]
        if not found or not all(f'{one.__module__}.'.startswith(_HARMLESS) for one in found):
            raise ValueError(f'it names {name}, which is no component of conmim_mm')


def _types_in(part: Any) -> Iterator[Any]:
    if isinstance(part, dict):
        if 'type' in part:
            yield part['type']
        for key, value in part.items():
            if key != 'init_cfg':
                yield from _types_in(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _types_in(value)


def read_plain_config(text: str) -> dict[str, Any]:
    """The values of a config as MMEngine writes it, without running any of it.

    What MMEngine writes is assignments of literals and ``dict(...)`` only.

    Args:
        text: Of a config.

    Raises:
        ValueError: It holds anything else.
        SyntaxError: It is no Python.
    """
    values = {}
    for statement in ast.parse(text).body:
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            raise ValueError(f'line {statement.lineno} assigns no value')
        values[ast.unparse(statement.targets[0])] = _value_of(statement.value)
    return values


def _value_of(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or node.func.id != 'dict' or node.args:
            raise ValueError(f'line {node.lineno} calls {ast.unparse(node.func)[:40]}')
        return {_name_of(keyword): _value_of(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        return {_value_of(key): _value_of(value)
                for key, value in zip(node.keys, node.values, strict=True) if key is not None}
    if isinstance(node, ast.List):
        return [_value_of(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value_of(item) for item in node.elts)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(f'line {node.lineno} computes {ast.unparse(node)[:40]}') from None


def _name_of(keyword: ast.keyword) -> str:
    if keyword.arg is None:
        raise ValueError(f'line {keyword.value.lineno} unpacks a dict')
    return keyword.arg
