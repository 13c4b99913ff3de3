"""A checkpoint reduced to what can be given to others, and the card that describes it."""

import hashlib
import re
from pathlib import Path
from string import Template
from typing import Any

import torch

from ..checkpoint.plain_data import plain_data
from ..checkpoint.reading import (
    WHOSE_WEIGHTS,
    backbone_of_model,
    is_pretraining_checkpoint,
    model_state,
)
from ..errors import InputError
from ..public_config import public_config
from ..version import __version__

ALL_WEIGHTS = 'all'
HASH_LENGTH = 8  # what MMEngine and torch.hub look for behind the last hyphen of a name
_TIMESTAMP = re.compile(r'_\d{8}_\d{6}$')
_COMMIT = re.compile(r'[0-9a-f]{40}$')
_KEPT = ('epoch', 'iter', 'seed', 'time', 'mmengine_version')


def publishable(checkpoint: dict[str, Any], weights: str) -> dict[str, Any]:
    """Weights and a record of their origin, without the state of the run.

    Args:
        checkpoint: Of a pre-training or a task, or what ``extract_backbone.py`` writes.
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
    meta |= {key: plain_data(run[key]) for key in _KEPT if key in run}
    if 'mmengine_version' in meta:  # MMEngine appends the commit of the folder it is started in
        meta['mmengine_version'] = _COMMIT.sub('', meta['mmengine_version'])
    if run.get('dataset_meta'):  # class names, for the inferencers
        meta['dataset_meta'] = plain_data(run['dataset_meta'])
    if run.get('cfg'):
        meta['cfg'] = public_config(run['cfg'])
    return dict(meta=meta, state_dict=state)


def run_record(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint tells of the run that made it."""
    meta = checkpoint.get('meta') or {}
    return meta.get('pretraining', meta)


def config_name(checkpoint: dict[str, Any]) -> str | None:
    """The stem of the config's file, which MMEngine keeps before the time in a run's name."""
    name = run_record(checkpoint).get('experiment_name')
    return _TIMESTAMP.sub('', name) if name else None


def default_weights(checkpoint: dict[str, Any]) -> str:
    """The teacher's of a pre-training, as published; all of any other model."""
    return WHOSE_WEIGHTS[0] if is_pretraining_checkpoint(checkpoint) else ALL_WEIGHTS


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def describe(published: dict[str, Any], path: Path, source_sha256: str, template: str) -> str:
    """A model card for a published file.

    Args:
        published: What :func:`publishable` returned.
        path: The file that it was written to.
        source_sha256: Of the checkpoint it was taken from.
        template: Text with the fields as ``$name``.
    """
    meta, state = published['meta'], published['state_dict']
    date = str(meta.get('time', ''))[:8]
    contents = {ALL_WEIGHTS: 'all weights of the model'}.get(
        meta['weights'], f"the {meta['weights']}'s backbone")
    progress = [f'{meta[key]} {unit}' for key, unit in (('epoch', 'epochs'), ('iter', 'steps'))
                if meta.get(key)]
    return Template(template).substitute(
        name=path.stem.rpartition('_')[0],
        file=path.name,
        contents=contents,
        parameters=f'{sum(value.numel() for value in learnt(state).values()):,}',
        size=f'{path.stat().st_size / 2**20:.1f}',
        sha256=sha256_of(path),
        config=meta['config'] or 'unknown',
        weights=meta['weights'],
        progress=', '.join(progress) or 'unknown',
        date=f'{date[:4]}-{date[4:6]}-{date[6:]}' if date else 'unknown',
        seed=meta.get('seed', 'unknown'),
        conmim_mm_version=meta['conmim_mm_version'],
        mmengine_version=meta.get('mmengine_version', 'unknown'),
        source_sha256=source_sha256,
        cfg=meta.get('cfg', '# not in the checkpoint').rstrip())


def learnt(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights without the teacher's copy and the statistics of batch norms."""
    buffers = ('running_mean', 'running_var', 'num_batches_tracked')
    return {key: value for key, value in state.items()
            if not key.startswith('teacher.') and not key.endswith(buffers)}
