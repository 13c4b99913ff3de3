"""Brings a pre-training checkpoint back as a model, together with the config it is described by."""

from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import Registry, init_default_scope
from mmpretrain.registry import MODELS, TRANSFORMS

from conmim_mm.checkpoint.differences import check_state_dict
from conmim_mm.checkpoint.reading import (
    is_pretraining_checkpoint,
    load_checkpoint_file,
    model_state,
)
from conmim_mm.checkpoint.settings import dicts_in, saved_settings, type_name
from conmim_mm.errors import InputError
from conmim_mm.models.selfsup.conmim import ConMIM
from conmim_mm.utils.run_config import read_config

# Where the components may be defined: what is built of them does no more than compute.
_HARMLESS = ('conmim_mm.', 'torch.nn.', 'mmcv.transforms.loading')
# Packages that a name may begin with; MMEngine imports it.
_SCOPES = ('mmengine', 'mmcv', 'mmpretrain', 'conmim_mm')
# What chooses a storage backend for a loader of mmcv: some import what a folder holds.
_STORAGE = ('backend_args', 'file_client_args')


class Pretraining(NamedTuple):
    """A pre-trained model, on the CPU and in eval mode, and its config."""

    model: ConMIM
    cfg: Config


def load_pretraining(checkpoint: str | Path, config: str | None = None) -> Pretraining:
    """The whole model of a pre-training checkpoint: student, teacher and projectors.

    Args:
        checkpoint: The file.
        config: File of the config it was trained with, which is run as any config. By default the
            settings in the checkpoint, which are data (:mod:`conmim_mm.checkpoint.settings`).

    Raises:
        InputError: No such file, not a pre-training checkpoint, no config in it, or one that does
            not fit the weights.
    """
    contents = load_checkpoint_file(checkpoint)
    if not is_pretraining_checkpoint(contents):
        raise InputError(f'{checkpoint} is no pre-training checkpoint of ConMIM (it has no '
                         'projector); pictures of the look-up need student and teacher')
    cfg = read_config(config) if config else checkpoint_config(contents, checkpoint)
    init_default_scope('mmpretrain')
    described = cfg.get('model')
    if not isinstance(described, dict) or type_name(described) != 'ConMIM':
        raise InputError(f'{config or checkpoint} has no config of a ConMIM model; give that of '
                         'the pre-training with --config')
    model = MODELS.build(described)
    state = model_state(contents)
    check_state_dict(model.state_dict(), state)
    model.load_state_dict(state)
    return Pretraining(model.eval(), cfg)


def checkpoint_config(contents: dict[str, Any], checkpoint: str | Path) -> Config:
    """The config that a checkpoint carries.

    Args:
        contents: Of :func:`load_checkpoint_file`.
        checkpoint: Its name, for errors.

    Raises:
        InputError: There is none, or one that is more than data.
    """
    try:
        settings = saved_settings(contents)
        check_components(settings)
        cfg = Config(settings)
    except (ValueError, KeyError) as error:  # KeyError: MMEngine's for a name that it keeps
        raise InputError(f'the config in {checkpoint} is not used, as it could run code '
                         f'({error}); give that of the pre-training with --config') from None
    if not settings:
        raise InputError(f'{checkpoint} carries no config; give that of the pre-training with '
                         '--config')
    return cfg


def check_components(settings: dict[str, Any]) -> None:
    """Refuses components that are not this project's in what pictures are made with.

    That is the model, of whose ``init_cfg``, which is not used, only the scopes are looked at, and
    the training pipeline. A ``_scope_``, which MMEngine would import, is refused wherever it is.

    Args:
        settings: Of :func:`saved_settings`.

    Raises:
        ValueError: The config names another component, or a scope.
    """
    for part in dicts_in(settings):
        if '_scope_' in part:
            raise ValueError(f'it names the scope {part["_scope_"]}')
    match settings:
        case {'train_dataloader': {'dataset': {'pipeline': pipeline}}}:
            pass
        case _:
            pipeline = None
    for registry, used in ((MODELS, settings.get('model')), (TRANSFORMS, pipeline)):
        for part in dicts_in(used):
            if storage := [key for key in _STORAGE if part.get(key)]:
                raise ValueError(f'it sets {storage[0]}, by which modules are imported')
            scope, dot, _ = str(part.get('type', '')).partition('.')
            if dot and scope not in _SCOPES:
                raise ValueError(f'it names {part["type"]}, which is no component of conmim_mm')
        for part in dicts_in(used, without='init_cfg'):
            if 'type' in part and not _is_harmless(part['type'], registry):
                raise ValueError(f'it names {part["type"]}, which is no component of conmim_mm')


def _is_harmless(name: Any, registry: Registry) -> bool:
    # with its module where the config was one of Python imports
    found = [one for kind in (registry, registry.parent) for bare, one in kind.module_dict.items()
             if name in (bare, f'mmpretrain.{bare}',
                         f'{one.__module__}.{getattr(one, "__qualname__", bare)}')]
    return bool(found) and all(f'{one.__module__}.'.startswith(_HARMLESS) for one in found)
