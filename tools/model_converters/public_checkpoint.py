"""A checkpoint reduced to what can be given to others."""

import re
from typing import Any

from conmim_mm import __version__
from conmim_mm.checkpoint.plain_data import plain_data
from conmim_mm.checkpoint.reading import backbone_of_model, is_pretraining_checkpoint, model_state
from conmim_mm.checkpoint.settings import (
    SETTINGS,
    dicts_in,
    run_record,
    saved_settings,
    settings_text,
)
from conmim_mm.errors import InputError

ALL_WEIGHTS = 'all'
_TIMESTAMP = re.compile(r'_\d{8}_\d{6}$')
_COMMIT = re.compile(r'[0-9a-f]{40}$')
_KEPT = ('epoch', 'iter', 'seed', 'time', 'mmengine_version')

REMOVED = 'REMOVED'
_PATH_KEYS = frozenset({'data_root', 'ann_file', 'checkpoint', 'out_dir', 'save_dir'})
# addresses and accounts of storage and of trackers
_ACCOUNT_KEYS = frozenset({'backend_args', 'init_kwargs'})
# of one machine and one run; the rest says what was trained
_DROPPED = frozenset({'work_dir', 'load_from', 'resume', 'launcher'})
_MACHINE_PATH = re.compile(r'^(/|~|\\\\|\.\./|[A-Za-z]:[\\/])|^[a-z0-9+]+://')


def publishable_checkpoint(checkpoint: dict[str, Any], weights: str) -> dict[str, Any]:
    """Weights and a record of their origin, without the state of the run.

    Args:
        checkpoint: Of a pre-training or a task, or an extracted backbone.
        weights: ``'teacher'`` or ``'student'``, whose backbone to take from a pre-training
            checkpoint, or ``'all'`` weights of the model.

    Returns:
        ``meta`` and ``state_dict``: tensors, numbers, strings, and dicts and lists of these.

    Raises:
        InputError: There are no such weights, or the config in it is more than settings.
    """
    if weights == ALL_WEIGHTS:
        state = {key: value.detach().contiguous().clone()
                 for key, value in model_state(checkpoint).items()}
    elif is_pretraining_checkpoint(checkpoint):
        state = backbone_of_model(checkpoint, weights)
    else:
        raise InputError(f'there is one model in this checkpoint, no {weights} beside another; '
                         f'leave --weights out, or give {ALL_WEIGHTS}')
    if not state:
        raise InputError('the checkpoint holds no weights')
    run = run_record(checkpoint)
    meta = dict(conmim_mm_version=__version__, weights=weights, config=config_name(checkpoint))
    meta |= {key: plain_data(run[key]) for key in _KEPT if isinstance(run.get(key), str | int)}
    if 'mmengine_version' in meta:  # MMEngine appends the commit of the folder it is started in
        meta['mmengine_version'] = _COMMIT.sub('', str(meta['mmengine_version']))
    classes = run.get('dataset_meta')
    if isinstance(classes, dict) and classes:  # class names, for the inferencers
        meta['dataset_meta'] = plain_data(classes)
    try:
        settings = public_settings(saved_settings(checkpoint))
    except ValueError as error:
        raise InputError('the config in the checkpoint holds more than plain settings: '
                         f'{error}') from error
    if settings:
        meta |= {SETTINGS: plain_data(settings), 'cfg': config_text(settings)}
    return dict(meta=meta, state_dict=state)


def config_name(checkpoint: dict[str, Any]) -> str | None:
    """The stem of the config's file, which MMEngine keeps before the time in a run's name."""
    name = run_record(checkpoint).get('experiment_name')
    return _TIMESTAMP.sub('', name) if isinstance(name, str) and name else None


def public_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without what only their own machine knows.

    The values of keys that name files and folders (``data_root``, ``ann_file``, ``checkpoint`` and
    the like), what starts with one of these folders, and everything that looks like an absolute
    path or an address become ``'REMOVED'``. Work dir, launcher, what the run started from and the
    accounts of storage and trackers go.

    Args:
        settings: Of :func:`saved_settings`.
    """
    roots = {one['data_root'].rstrip('/') for one in dicts_in(settings)
             if isinstance(one.get('data_root'), str)} - {''}

    def public(key: object, value: Any) -> Any:
        if key in _ACCOUNT_KEYS:
            return None
        if isinstance(value, dict):
            return {name: public(name, item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(public(key, item) for item in value)
        is_private = isinstance(value, str) and value and (
            key in _PATH_KEYS or _MACHINE_PATH.search(value)
            or any(f'{value}/'.startswith(f'{root}/') for root in roots))
        return REMOVED if is_private else value

    return public(None, {key: value for key, value in settings.items() if key not in _DROPPED})


def config_text(settings: dict[str, Any]) -> str:
    """Settings as the text of a config, which MMEngine's and mmpretrain's inferencers run.

    Args:
        settings: Of :func:`public_settings`.

    Raises:
        InputError: Their names are such that the text would be more than settings.
    """
    try:
        return settings_text(settings)
    except ValueError as error:
        raise InputError('the settings in the checkpoint make no config: '
                         f'{str(error)[:100]}') from error
