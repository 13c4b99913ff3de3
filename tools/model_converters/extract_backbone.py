"""Takes the backbone out of a ConMIM checkpoint: a small file to start tasks from.

The transfer configs take that file or the whole checkpoint. Its ``meta`` says where it comes from.
"""

import argparse
import hashlib
from datetime import datetime, timezone
from pathlib import Path

import torch

import conmim_mm
from conmim_mm.cli import run_tool
from conmim_mm.errors import InputError
from conmim_mm.models.checkpoints import (
    BACKBONE,
    WHOSE_WEIGHTS,
    backbone_state,
    is_pretraining_checkpoint,
    load_checkpoint_file,
)
from conmim_mm.run_config import add_trust_argument


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
        conmim_mm_version=conmim_mm.__version__,
        weights=weights,
        source=source.name,
        source_sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        extracted=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        pretraining={key: run[key] for key in ('epoch', 'iter', 'seed', 'experiment_name', 'time',
                                               'mmengine_version', 'cfg') if key in run})
    state = {f'{BACKBONE}{key}': value.contiguous().clone()
             for key, value in backbone_state(checkpoint, weights).items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f'{target.name}.unfinished')
    torch.save(dict(meta=meta, state_dict=state), unfinished)
    unfinished.replace(target)
    return meta


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, help='pre-training checkpoint')
    parser.add_argument('target', type=Path, help='file to write')
    parser.add_argument('--weights', choices=WHOSE_WEIGHTS, default='teacher',
                        help="whose weights (default: the teacher's, as published)")
    add_trust_argument(parser)
    args = parser.parse_args()
    extract(args.source, args.target, args.weights)
    size = args.target.stat().st_size / 2**20
    print(f"wrote {args.target}: the {args.weights}'s backbone, {size:.1f} MB")


if __name__ == '__main__':
    run_tool(main)
