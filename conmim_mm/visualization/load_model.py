"""Brings a pre-training checkpoint back as a model, together with the config it is described by."""

import ast
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from ..engine.start_checks_hook import check_state_dict
from ..errors import InputError
from ..models.checkpoints import is_pretraining_checkpoint, load_checkpoint_file, model_state
from ..models.conmim import ConMIM
from ..run_config import read_config


class Pretraining(NamedTuple):
    """A pre-trained model, on the CPU and in eval mode, and its config."""

    model: ConMIM
    cfg: Config


def load_pretraining(checkpoint: str | Path, config: str | None = None) -> Pretraining:
    """The whole model of a pre-training checkpoint: student, teacher and projectors.

    Args:
        checkpoint: The file.
        config: The config it was trained with. By default the copy in the checkpoint, which is read
            as data and not run (:func:`read_plain_config`), unlike a config file.

    Raises:
        InputError: No such file, not a pre-training checkpoint, no config in it, or one that does
            not fit the weights.
    """
    contents = load_checkpoint_file(checkpoint)
    if not is_pretraining_checkpoint(contents):
        raise InputError(f'{checkpoint} is no pre-training checkpoint of ConMIM (it has no '
                         'projector); pictures of the look-up need student and teacher')
    cfg = read_config(config) if config else config_inside(contents, checkpoint)
    init_default_scope('mmpretrain')
    if cfg.get('model', {}).get('type', '').rpartition('.')[2] != 'ConMIM':
        raise InputError(f'{config or checkpoint} has no config of a ConMIM model; give that of '
                         'the pre-training with --config')
    model = MODELS.build(cfg.model)
    state = model_state(contents)
    check_state_dict(model.state_dict(), state)
    model.load_state_dict(state)
    return Pretraining(model.eval(), cfg)


def config_inside(contents: dict[str, Any], checkpoint: str | Path) -> Config:
    """The config that a checkpoint carries.

    Args:
        contents: Of :func:`~conmim_mm.models.checkpoints.load_checkpoint_file`.
        checkpoint: Its name, for errors.

    Raises:
        InputError: There is none, or one that is more than data.
    """
    text = contents.get('meta', {}).get('cfg')
    if not isinstance(text, str):
        raise InputError(f'{checkpoint} carries no config; give that of the pre-training with '
                         '--config')
    try:
        return Config(read_plain_config(text))
    except (ValueError, SyntaxError) as error:
        raise InputError(f'the config in {checkpoint} is more than plain values ({error}) and is '
                         'not run; give that of the pre-training with --config') from None


def read_plain_config(text: str) -> dict[str, Any]:
    """The values of a config as MMEngine writes it, without running any of it.

    A checkpoint is data, perhaps a stranger's, and its config would be run as Python by MMEngine.
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
