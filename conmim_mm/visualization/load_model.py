"""Brings a pre-training checkpoint back as a model, together with the config it is described by."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import Registry, init_default_scope
from mmpretrain.registry import MODELS, TRANSFORMS

from ..checkpoint.differences import check_state_dict
from ..checkpoint.reading import is_pretraining_checkpoint, load_checkpoint_file, model_state
from ..checkpoint.saved_config import read_saved_config
from ..errors import InputError
from ..models.selfsup.conmim import ConMIM
from ..utils.run_config import read_config

# Where the components may be defined: what is built of them does no more than compute.
_HARMLESS = ('conmim_mm.', 'torch.nn.', 'mmcv.transforms.loading')
# Packages that a name may begin with; MMEngine imports it.
_SCOPES = ('mmengine', 'mmcv', 'mmpretrain')


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


def check_components(values: dict[str, Any]) -> None:
    """Refuses components that are not this project's in what pictures are made with.

    That is the model, of whose ``init_cfg``, which is not used, only the scopes are looked at, and
    the training pipeline. A ``_scope_``, which MMEngine would import, is refused wherever it is.

    Args:
        values: Of a config.

    Raises:
        ValueError: The config names another component, or a scope.
    """
    for part in _dicts_in(values):
        if '_scope_' in part:
            raise ValueError(f'it names the scope {part["_scope_"]}')
    loader = values.get('train_dataloader') or {}
    pipeline = (loader.get('dataset') or {}).get('pipeline')
    for registry, used in ((MODELS, values.get('model')), (TRANSFORMS, pipeline)):
        for part in _dicts_in(used):
            scope, dot, _ = str(part.get('type', '')).partition('.')
            if dot and scope not in _SCOPES:
                raise ValueError(f'it names {part["type"]}, which is no component of conmim_mm')
        for part in _dicts_in(used, without='init_cfg'):
            if 'type' in part and not _is_harmless(part['type'], registry):
                raise ValueError(f'it names {part["type"]}, which is no component of conmim_mm')


def _is_harmless(name: Any, registry: Registry) -> bool:
    bare = str(name).removeprefix('mmpretrain.')
    found = [kind.module_dict[bare] for kind in (registry, registry.parent)
             if bare in kind.module_dict]
    return bool(found) and all(f'{one.__module__}.'.startswith(_HARMLESS) for one in found)


def _dicts_in(part: Any, without: str | None = None) -> Iterator[dict]:
    """The dicts of a config at any depth, but for those below a key."""
    if isinstance(part, dict):
        yield part
        part = [value for key, value in part.items() if without is None or key != without]
    if isinstance(part, list | tuple):
        for value in part:
            yield from _dicts_in(value, without)
