"""Writes a checkpoint as it can be given to others: weights and their record, named by their hash.

OUT_DIR gets `<config>_<date>-<first 8 digits of its SHA-256>.pth`, which MMEngine and torch.hub can
check, and a model card of the same name. Without optimizer, random states, log and paths; the
config stays, as text without paths, because the inferencers of mmsegmentation and mmdetection that
are given weights alone build the model from it. The same checkpoint gives the same file.
"""

import argparse
import hashlib
import io
import re
from pathlib import Path
from string import Template
from typing import Any

import torch
from public_checkpoint import ALL_WEIGHTS, config_name, publishable_checkpoint

from conmim_mm.checkpoint.reading import (
    WHOSE_WEIGHTS,
    is_pretraining_checkpoint,
    load_checkpoint_file,
)
from conmim_mm.checkpoint.settings import run_record
from conmim_mm.errors import InputError
from conmim_mm.utils.cli import add_trust_argument, run_tool
from conmim_mm.utils.files import sha256_of, write_text, written_whole
from conmim_mm.utils.shipped_files import shipped_file

HASH_LENGTH = 8  # what MMEngine and torch.hub look for behind the last hyphen of a name


def publish(source: Path, out_dir: Path, weights: str | None = None, name: str | None = None,
            date: str | None = None) -> Path:
    """Publishes ``source`` below ``out_dir`` and returns the file of weights.

    Args:
        source: Any checkpoint of this project.
        out_dir: A folder, made where it does not exist.
        weights: ``'teacher'``, ``'student'`` or ``'all'``; None for the teacher's backbone of a
            pre-training checkpoint and for all of another.
        name: What stands before the date; None for the config's name.
        date: YYYYMMDD; None for the day the checkpoint was written.

    Raises:
        InputError: ``source`` cannot be read or lacks what is asked for, a name or a date is
            missing or not one, or ``out_dir`` is a file.
    """
    checkpoint = load_checkpoint_file(source)
    stem = name or config_name(checkpoint)
    time = run_record(checkpoint).get('time')
    date = date or (time[:8] if isinstance(time, str) else '')
    if not stem:
        raise InputError(f'{source} does not tell the name of its config; give --name')
    if not re.fullmatch(r'[\w-]+', stem):
        raise InputError(f'{stem!r} is no name for a model: letters, digits, - and _ only (--name)')
    if not re.fullmatch(r'\d{8}', date):
        raise InputError(f'{date!r} is no date; give --date YYYYMMDD' if date else
                         f'{source} does not tell when it was written; give --date YYYYMMDD')
    default = WHOSE_WEIGHTS[0] if is_pretraining_checkpoint(checkpoint) else ALL_WEIGHTS
    published = publishable_checkpoint(checkpoint, weights or default)
    if out_dir.exists() and not out_dir.is_dir():
        raise InputError(f'{out_dir} is a file; give a folder')
    content = io.BytesIO()
    torch.save(published, content)
    digest = hashlib.sha256(content.getbuffer()).hexdigest()
    target = out_dir / f'{stem}_{date}-{digest[:HASH_LENGTH]}.pth'
    with written_whole(target) as aside:
        aside.write_bytes(content.getbuffer())
    card = target.with_suffix('.md')
    if not card.exists():  # the same file, published again: its card may be completed by now
        template = shipped_file('docs/model_card_template.md').read_text(encoding='utf-8')
        write_text(card, model_card(published, target, sha256_of(source), template))
    return target


def model_card(published: dict[str, Any], path: Path, source_sha256: str, template: str) -> str:
    """A model card for a published file.

    Args:
        published: What :func:`publishable_checkpoint` returned.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', type=Path, metavar='CHECKPOINT', help='checkpoint of a run')
    parser.add_argument('out_dir', type=Path, metavar='OUT_DIR', help='folder to write to')
    parser.add_argument('--weights', choices=[*WHOSE_WEIGHTS, ALL_WEIGHTS],
                        help="of a pre-training checkpoint the backbone of the teacher (default) "
                        'or the student, or all: both, with their projectors')
    parser.add_argument('--name', help="name of the model (default: the config's)")
    parser.add_argument('--date', metavar='YYYYMMDD',
                        help='date in the name (default: of the checkpoint)')
    add_trust_argument(parser)
    args = parser.parse_args()
    target = publish(args.checkpoint, args.out_dir, args.weights, args.name, args.date)
    print(f'wrote {target}, {target.stat().st_size / 2**20:.1f} MB')
    print(f'its card: {target.with_suffix(".md")}; complete what is marked TO FILL IN')


if __name__ == '__main__':
    run_tool(main)
