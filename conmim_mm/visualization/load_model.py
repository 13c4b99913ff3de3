"""Brings a pre-training checkpoint back as a model, together with the config it is described by."""

from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from ..checkpoint.reading import is_pretraining_checkpoint, load_checkpoint_file, model_state
from ..checkpoint.saved_config import read_saved_config
from ..engine.hooks.start_checks.start_checks_hook import check_state_dict
from ..errors import InputError
from ..models.selfsup.conmim import ConMIM
from ..utils.run_config import read_config
from .component_check import check_components


class Pretraining(NamedTuple):
    """A pre-trained model, on the CPU and in eval mode, and its config."""

    model: ConMIM
    cfg: Config


def load_pretraining(checkpoint: str | Path, config: str | None = None) -> Pretraining:
    """The whole model of a pre-training checkpoint: student, teacher and projectors.

    Args:
        checkpoint: The file.
        config: The config it was trained with. By default the copy in the checkpoint, which is read
            as data and not run, unlike a config file (:mod:`conmim_mm.checkpoint.saved_config`).

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
        contents: Of :func:`load_checkpoint_file`.
        checkpoint: Its name, for errors.

    Raises:
        InputError: There is none, or one that is more than data.
    """
    text = contents.get('meta', {}).get('cfg')
    if not isinstance(text, str):
        raise InputError(f'{checkpoint} carries no config; give that of the pre-training with '
                         '--config')
    try:
        values = read_saved_config(text)
        check_components(values)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise InputError(f'the config in {checkpoint} is not used, as it could run code '
                         f'({error}); give that of the pre-training with --config') from None
    return Config(values)
