"""Reads checkpoints without running code in them, and takes a backbone's weights out of them."""

import hashlib
import os
import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError, one_line
from .integrity import PICKLE, DamagedCheckpointError, check_file, is_archive
from .plain_objects import STAND_INS, finished

BACKBONE = 'backbone.'
TEACHER_BACKBONE = 'teacher.backbone.'
WHOSE_WEIGHTS = ('teacher', 'student')


# Set to 1, checkpoints may hold any Python object, and run any code while they are loaded.
TRUST_VARIABLE = 'CONMIM_TRUST_CHECKPOINTS'
TRUST_OPTION = '--trust-checkpoint'

MapLocation = str | torch.device | Mapping | Callable | None


def load_checkpoint_file(path: str | Path,
                         extra_types: Sequence[type] = (),
                         map_location: MapLocation = 'cpu',
                         mmap: bool = False) -> dict[str, Any]:
    """The contents of a checkpoint, as plain data.

    Args:
        path: A file, or an address that starts with ``https://`` or ``http://``.
        extra_types: Harmless types that may be in it besides what MMEngine saves.
        map_location: Where its tensors go, as in :func:`torch.load`.
        mmap: Leave the tensors of a file on the disk, with their check sums, until they are used.

    Raises:
        DamagedCheckpointError: It is no checkpoint, or damaged.
        InputError: No such file, one that can't be read, or one that needs more than plain data
            while the environment does not say that it is trusted.
    """
    address = str(path)
    is_remote = address.startswith(('https://', 'http://'))
    file = download(address) if is_remote else address
    check_checkpoint_file(file, only=PICKLE if mmap else '')
    plain = not are_checkpoints_trusted()
    try:
        with torch.serialization.safe_globals([*STAND_INS, *extra_types]):
            checkpoint = torch.load(file, map_location=map_location, weights_only=plain,
                                    mmap=mmap and is_archive(file))
        checkpoint = finished(checkpoint) if plain else checkpoint
    except (OSError, MemoryError, pickle.UnpicklingError) as error:  # not its damage
        raise InputError(describe_refusal(address, error)) from error
    except Exception as error:  # a damaged file can fail in any way
        raise DamagedCheckpointError(describe_refusal(address, error)) from error
    if not isinstance(checkpoint, dict):
        raise InputError(f'{address} holds a {type(checkpoint).__name__}, not a checkpoint')
    if plain and 'meta' in checkpoint:
        if not isinstance(checkpoint['meta'], dict):
            raise InputError(f'cannot load {address}: its meta is no dict')
        # The config of MMEngine's forerunner: text that resuming would run as Python.
        checkpoint['meta'].pop('config', None)
    return checkpoint


def check_checkpoint_file(path: str | Path, only: str = '') -> None:
    """Makes sure that a file is a checkpoint and whole.

    Args:
        path: The file.
        only: As for :func:`check_file`.

    Raises:
        DamagedCheckpointError: It is no checkpoint, or damaged.
        InputError: No such file, or one that can't be read.
    """
    try:
        check_file(path, only)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f'no such checkpoint: {path}') from None
    except OSError as error:
        raise InputError(f'cannot read {path}: {error.strerror or error}') from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f'no such checkpoint: {str(path)!r}') from error  # a NUL in its name


def download(address: str) -> str:
    """Fetches a checkpoint, unless that was done before; where it is now.

    Args:
        address: Its web address. Two addresses are two files, whatever their last words are.

    Raises:
        InputError: It cannot be fetched.
    """
    name = re.sub(r'[^\w.-]', '_', address.partition('?')[0].rpartition('/')[2])[-100:]
    digest = hashlib.sha256(address.encode()).hexdigest()[:16]
    place = Path(torch.hub.get_dir(), 'checkpoints', f'{digest}-{name}')
    if not place.is_file():
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(address, str(place))  # written aside, and moved
            check_file(place)
        except Exception as error:  # whatever the network has
            place.unlink(missing_ok=True)
            raise InputError(f'cannot fetch {address}: {one_line(error)[:200]}'
                             ) from error
    return str(place)


def read_meta(path: str | Path) -> dict[str, Any]:
    """What a checkpoint tells of the run that made it, without reading its tensors.

    Args:
        path: As for :func:`load_checkpoint_file`.

    Raises:
        InputError: As there.
    """
    meta = load_checkpoint_file(path, mmap=True).get('meta')
    return meta if isinstance(meta, dict) else {}


def are_checkpoints_trusted() -> bool:
    """Whether the environment allows checkpoints to run code."""
    return os.environ.get(TRUST_VARIABLE) == '1'


def describe_refusal(address: str, error: Exception) -> str:
    """One line on why a checkpoint could not be loaded.

    Args:
        address: The file, as the user gave it.
        error: What loading it raised.
    """
    reason = one_line(error) or 'it is damaged'
    if are_checkpoints_trusted():
        return f'cannot load {address}: {reason[:200]}'
    if not isinstance(error, pickle.UnpicklingError):
        return f'cannot load {address} as plain weights: {reason[:200]}'
    if wanted := _WANTED.search(reason):
        reason = f'it asks for {wanted[1]}'
    elif 'Unsupported operand' in reason:
        reason = 'it is a pickle that PyTorch did not write'
    else:  # the reason proper stands between advice that would switch the check off
        reason = re.sub(r'^Weights only load failed.*(WeightsUnpickler error:|source\.)|'
                        r'Check the documentation.*$', '', reason).strip()[:200]
    return (f'cannot load {address} as plain weights: {reason}, so it could run code; if you trust '
            f'whoever made it, add {TRUST_OPTION} (or set {TRUST_VARIABLE}=1)')


def backbone_state(checkpoint: dict[str, Any], weights: str = 'teacher') -> dict[str, torch.Tensor]:
    """The backbone's state dict, under its own names, out of any checkpoint of this project.

    Args:
        checkpoint: A pre-training checkpoint, an extracted backbone, a classifier's,
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


def backbone_of_model(checkpoint: dict[str, Any], weights: str = 'teacher'
                      ) -> dict[str, torch.Tensor]:
    """The same, as the backbone of a model, and in memory of its own: what a small file holds.

    Args:
        checkpoint: As for :func:`backbone_state`.
        weights: As for :func:`backbone_state`.
    """
    return {f'{BACKBONE}{key}': value.contiguous().clone()
            for key, value in backbone_state(checkpoint, weights).items()}


def is_pretraining_checkpoint(checkpoint: dict[str, Any]) -> bool:
    """Whether it holds ConMIM's projector, as a whole pre-training checkpoint does."""
    return any(key.startswith('neck.layers.') for key in model_state(checkpoint))


def model_state(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The model's weights in a checkpoint, under the names that it has outside of any wrapper.

    Raises:
        InputError: What stands in the place of the weights is something else.
    """
    state = checkpoint.get('state_dict', checkpoint)
    if not isinstance(state, Mapping):
        raise InputError(f'the checkpoint holds no weights: its state_dict is a '
                         f'{type(state).__name__}')
    weights = {key.removeprefix('module.'): value for key, value in state.items()
               if isinstance(key, str) and isinstance(value, torch.Tensor)}
    for key, value in weights.items():
        if value.layout != torch.strided or value.is_quantized or value.is_complex():
            raise InputError(f'the checkpoint holds no weights: its {key} is no plain tensor')
    return weights


def weights_below(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Those weights whose names start with ``prefix``, under the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in state.items()
            if key.startswith(prefix)}


# What a pickle names, in PyTorch's refusals.
_WANTED = re.compile(r'GLOBAL (\S+) (?:was not an allowed global|whose module)')
