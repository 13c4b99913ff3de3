"""Takes the backbone out of a pre-training checkpoint: a small file to start tasks from."""

import hashlib
from datetime import datetime, timezone
from pathlib import Path

import torch

from ..checkpoint.reading import backbone_of_model, is_pretraining_checkpoint, load_checkpoint_file
from ..errors import InputError
from ..version import __version__


def extract(source: Path, target: Path, weights: str = 'teacher') -> dict:
    """Writes the backbone of ``source`` to ``target`` and returns its ``meta``.

    Raises:
        InputError: ``source`` is no pre-training checkpoint, or both are the same file.
    """
    checkpoint = load_checkpoint_file(source)
    if not is_pretraining_checkpoint(checkpoint):
        raise InputError(f'{source} is no pre-training checkpoint of ConMIM (it has no projector)')
    if target.exists() and target.samefile(source):
        raise InputError(f'{target} is the checkpoint itself; give the backbone a file of its own')
    run = checkpoint.get('meta', {})
    meta = dict(
        conmim_mm_version=__version__,
        weights=weights,
        source=source.name,
        source_sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        extracted=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        pretraining={key: run[key] for key in ('epoch', 'iter', 'seed', 'experiment_name', 'time',
                                               'mmengine_version', 'cfg') if key in run})
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f'{target.name}.unfinished')
    with unfinished.open('wb') as file:  # a file's errors are the system's, a path's PyTorch's own
        torch.save(dict(meta=meta, state_dict=backbone_of_model(checkpoint, weights)), file)
    unfinished.replace(target)
    return meta
