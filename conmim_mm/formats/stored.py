"""What lies at a place: a file or folder of weights of any library, or a name in its hub."""

import argparse
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..checkpoint.integrity import DamagedCheckpointError
from ..checkpoint.reading import load_checkpoint_file, model_state
from ..errors import InputError, one_line
from ..utils.work_dir import LAST_CHECKPOINT_FILE, checkpoint_file
from .key_names import Weights

CONFIG, PREPROCESSOR = 'config.json', 'preprocessor_config.json'
# Hugging Face's names of files of weights; the index of one that is in parts comes first.
WEIGHT_FILES = ('model.safetensors.index.json', 'model.safetensors',
                'pytorch_model.bin.index.json', 'pytorch_model.bin')
_MAX_JSON = 2**24  # bytes
# Where checkpoints keep a model's weights, beside the optimizer and more.
_WEIGHT_KEYS = ('state_dict', 'model', 'module', 'model_state_dict', 'backbone')


@dataclass(frozen=True)
class Stored:
    """What lies at a place.

    Attributes:
        place: A name for it: the file's, where there is one.
        checkpoint: The contents of the file, or bare weights.
        config: A ``config.json`` beside them, of Hugging Face or timm.
        preprocessor: A ``preprocessor_config.json`` beside them.
    """

    place: str
    checkpoint: dict[str, Any] = field(repr=False)
    config: dict[str, Any] = field(default_factory=dict)
    preprocessor: dict[str, Any] = field(default_factory=dict)

    def state(self, whose: str) -> Weights:
        """The weights in it, under the names that they have there.

        Args:
            whose: ``'teacher'`` or ``'student'``, where they are kept apart.

        Raises:
            InputError: There are none.
        """
        for key in (whose, *_WEIGHT_KEYS):
            part = self.checkpoint.get(key)
            if isinstance(part, Mapping) and any(
                    isinstance(value, torch.Tensor) for value in part.values()):
                return model_state(dict(state_dict=part))
        state = model_state(dict(state_dict=self.checkpoint))
        if not state:
            names = ', '.join(map(str, self.checkpoint))
            raise InputError(f'it holds no weights, but {names[:80] or "nothing"}')
        return state


def stored_at(place: str | Path) -> Stored:
    """Reads a file, an address, or a folder: a run's, Hugging Face's or timm's.

    Raises:
        InputError: There are no weights, or they are damaged or more than plain data.
    """
    folder = Path(place)
    if not folder.is_dir():
        configs = _configs(folder.parent) if folder.name in WEIGHT_FILES else {}
        return Stored(str(place), read_weights(place), **configs)
    if (folder / LAST_CHECKPOINT_FILE).exists():
        file = checkpoint_file(folder)
        return Stored(str(file), read_weights(file))
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return Stored(str(folder / name), read_weights(folder / name), **_configs(folder))
    raise InputError(f'there is no checkpoint in {place} yet, nor {WEIGHT_FILES[1]}')


def read_weights(path: str | Path) -> dict[str, Any]:
    """The contents of a checkpoint, a safetensors file, or an index of several such files.

    Raises:
        InputError: No such file, or one that is damaged or more than plain data.
    """
    if str(path).endswith('.index.json'):
        parts = _read_json(Path(path)).get('weight_map')
        names, folder = list(parts.values()) if isinstance(parts, dict) else [], Path(path).parent
        # no more than names: in Hugging Face's cache they are links
        if not names or not all(isinstance(name, str) and Path(name).name == name
                                for name in names):
            raise InputError(f'{path} names files that are not beside it')
        return {key: value for name in sorted(set(names))
                for key, value in read_weights(folder / name).items()}
    try:
        if _is_safetensors(path):
            return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedCheckpointError(f'{path} is damaged: {one_line(error)[:100]}') from error
    return load_checkpoint_file(path, [argparse.Namespace])  # a record of command lines


def _is_safetensors(path: str | Path) -> bool:
    """By content: the length of a text, and its first brace."""
    if not Path(path).is_file():  # an address, a FIFO, nothing: left to who reads checkpoints
        return False
    with open(path, 'rb') as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b'{' and struct.unpack('<Q', start[:8])[0] < 2**27


def _configs(folder: Path) -> dict[str, dict]:
    return dict(config=_read_json(folder / CONFIG), preprocessor=_read_json(folder / PREPROCESSOR))


def _read_json(path: Path) -> dict[str, Any]:
    """A dict, empty where there is no such file.

    Raises:
        InputError: It can't be read.
    """
    if not path.is_file():
        return {}
    try:
        with path.open(encoding='utf-8') as file:
            content = json.loads(file.read(_MAX_JSON))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f'cannot read {path}: {one_line(error)[:100]}') from error
    return content if isinstance(content, dict) else {}
