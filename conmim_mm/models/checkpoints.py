"""Reads checkpoints without running code in them, and takes a backbone's weights out of them."""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from ..errors import InputError

BACKBONE = 'backbone.'
TEACHER_BACKBONE = 'teacher.backbone.'
WHOSE_WEIGHTS = ('teacher', 'student')


def load_checkpoint_file(path: str | Path, extra_types: Sequence[type] = ()) -> dict[str, Any]:
    """The contents of a checkpoint, as plain data on the CPU.

    Args:
        path: A file, or an address that starts with ``https://`` or ``http://``.
        extra_types: Harmless types that may be in it besides what MMEngine saves.

    Raises:
        InputError: No such file, not a checkpoint, or one that needs more than plain data.
    """
    address = str(path)
    is_remote = address.startswith(('https://', 'http://'))
    if not is_remote and not Path(address).is_file():
        raise InputError(f'no such checkpoint: {address}')
    load = torch.hub.load_state_dict_from_url if is_remote else torch.load
    try:
        with torch.serialization.safe_globals([*_MMENGINE_TYPES, *extra_types]):
            checkpoint = load(address, map_location='cpu', weights_only=True)
    except Exception as error:  # a damaged file can fail in any way
        reason = ' '.join(str(error).split())[:200]
        raise InputError(f'cannot load {address} as plain weights: {reason}') from error
    if not isinstance(checkpoint, dict):
        raise InputError(f'{address} holds a {type(checkpoint).__name__}, not a checkpoint')
    return checkpoint


def backbone_state(checkpoint: dict[str, Any], weights: str = 'teacher') -> dict[str, torch.Tensor]:
    """The backbone's state dict, under its own names, out of any checkpoint of this project.

    Args:
        checkpoint: A pre-training checkpoint, the file of ``extract_backbone.py``, a classifier's,
            segmentor's or detector's checkpoint, or the bare weights of a backbone.
        weights: ``'teacher'`` or ``'student'``, whose weights to take from a pre-training
            checkpoint; the published models start from the teacher. Others hold one backbone only.

    Raises:
        InputError: There is no such backbone in it, or ``weights`` is neither of the two.
    """
    if weights not in WHOSE_WEIGHTS:
        raise InputError(f'weights must be one of {WHOSE_WEIGHTS}, but is {weights!r}')
    state = model_state(checkpoint)
    of_teacher = weights == 'teacher' and is_pretraining_checkpoint(checkpoint)
    prefix = TEACHER_BACKBONE if of_teacher else BACKBONE
    found = weights_below(state, prefix)
    if found:
        return found
    if of_teacher:
        raise InputError('the checkpoint has no teacher; take weights=student')
    if 'patch_embed.proj.weight' in state:
        return state
    raise InputError(f'no backbone in the checkpoint: its keys start with '
                     f'{sorted({key.partition(".")[0] for key in state})[:5]}, not "backbone"')


def is_pretraining_checkpoint(checkpoint: dict[str, Any]) -> bool:
    """Whether it holds ConMIM's projector, as a whole pre-training checkpoint does."""
    return any(key.startswith('neck.layers.') for key in model_state(checkpoint))


def model_state(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The model's weights in a checkpoint, under the names that it has outside of any wrapper."""
    state = checkpoint.get('state_dict', checkpoint)
    return {key.removeprefix('module.'): value for key, value in state.items()
            if isinstance(value, torch.Tensor)}


def weights_below(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Those weights whose names start with ``prefix``, under the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in state.items()
            if key.startswith(prefix)}


def _attribute_of_history(owner: object, name: str) -> object:
    # The record names its own methods through getattr, which in full would let in anything.
    if owner is not HistoryBuffer or name.startswith('_'):
        raise pickle.UnpicklingError(f'the file asks for the attribute {name!r} of {owner!r}')
    return getattr(owner, name)


# MMEngine's record of logged numbers, which it saves beside the weights.
_MMENGINE_TYPES = [
    HistoryBuffer, (_attribute_of_history, 'builtins.getattr'), np.ndarray, np.dtype,
    np._core.multiarray._reconstruct, np._core.multiarray.scalar,
    *(type(np.dtype(kind)) for kind in (np.int64, np.int32, np.float64, np.float32, bool))
]
