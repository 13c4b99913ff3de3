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

import torch

from conmim_mm.checkpoint.reading import WHOSE_WEIGHTS, load_checkpoint_file
from conmim_mm.errors import InputError
from conmim_mm.formats.publish import (
    ALL_WEIGHTS,
    HASH_LENGTH,
    config_name,
    default_weights,
    model_card,
    publishable_checkpoint,
    run_record,
)
from conmim_mm.utils.cli import add_trust_argument, run_tool
from conmim_mm.utils.files import sha256_of, write_text, written_whole
from conmim_mm.utils.shipped_files import shipped_file


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
    date = date or str(run_record(checkpoint).get('time') or '')[:8]
    if not stem:
        raise InputError(f'{source} does not tell the name of its config; give --name')
    if not re.fullmatch(r'[\w-]+', stem):
        raise InputError(f'{stem!r} is no name for a model: letters, digits, - and _ only (--name)')
    if not re.fullmatch(r'\d{8}', date):
        raise InputError(f'{date!r} is no date; give --date YYYYMMDD' if date else
                         f'{source} does not tell when it was written; give --date YYYYMMDD')
    published = publishable_checkpoint(checkpoint, weights or default_weights(checkpoint))
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
