"""``conmim export``: the backbone of a checkpoint for timm, transformers and others."""

import argparse
import sys
from pathlib import Path

from ..checkpoint.reading import backbone_state, load_checkpoint_file
from ..checkpoint.settings import saved_settings
from ..errors import InputError
from ..formats.backbone import read_sizes
from ..formats.official_format import official_line, write_official
from ..formats.publish import extract
from ..formats.timm_format import timm_line, write_timm
from ..formats.transformers_format import (
    transformers_line,
    write_transformers,
)
from ..utils.files import check_place
from .backbone import checkpoint_file

FORMATS = dict(
    timm=(write_timm, timm_line),
    transformers=(write_transformers, transformers_line),
    official=(write_official, official_line))


def export(source: Path, target: Path, format_name: str, weights: str | None = None,
           num_heads: int | None = None) -> str:
    """Exports the backbone of ``source`` to ``target`` and returns the line that loads it.

    Args:
        source: Any checkpoint of this project.
        target: File or folder to write.
        format_name: One of ``FORMATS``.
        weights: Whose weights to take from a pre-training checkpoint; None for the teacher's.
        num_heads: Attention heads, where the weights do not tell them.

    Raises:
        InputError: ``source`` cannot be read, is no checkpoint of this project or holds other
            weights than asked for; ``target`` exists or cannot be written.
    """
    check_target(target, format_name)
    checkpoint = load_checkpoint_file(source)
    extracted = checkpoint.get('meta', {}).get('weights')  # as extract_backbone.py notes them
    if weights and extracted not in (None, weights):
        raise InputError(f"{source} holds the {extracted}'s weights; drop --weights {weights}")
    backbone = backbone_state(checkpoint, weights or 'teacher')
    sizes = read_sizes(backbone, num_heads)
    warn_of_windows(checkpoint)
    write, line = FORMATS[format_name]
    write(backbone, sizes, target)
    return line(sizes, target)


def warn_of_windows(checkpoint: dict) -> None:
    """Says so where the tokens will differ: window attention is not part of the weights."""
    try:
        settings = saved_settings(checkpoint)
    except ValueError:  # more than settings: nobody's reason not to export
        return
    match settings:
        case {'model': {'backbone': {'window_blocks': [_, *_]}}}:
            print('warning: this backbone was trained with attention windows in some blocks; the '
                  'other library lets all its blocks attend globally, so its tokens differ',
                  file=sys.stderr)


def run(args: argparse.Namespace) -> None:
    """Writes the file or folder, and prints what loads it.

    Raises:
        InputError: No backbone in the checkpoint, or no place for the file.
    """
    source = checkpoint_file(args.checkpoint)
    if args.format == 'mmpretrain':
        check_target(args.target, args.format)
        extract(source, args.target, args.weights or 'teacher')
        print(f'wrote {args.target}; a config of a task takes it with')
        print(f'--cfg-options model.backbone.init_cfg.checkpoint={args.target}')
        return
    line = export(source, args.target, args.format, args.weights, args.num_heads)
    print(f'wrote {args.target}; it is loaded by')
    print(line)


def check_target(target: Path, format_name: str) -> None:
    """Looks at the name of the file before anything takes time.

    Raises:
        InputError: It exists, or does not end as it should.
    """
    if target.exists():
        raise InputError(f'{target} exists already; remove it or give another name')
    if format_name != 'transformers' and target.suffix != '.pth':
        raise InputError(f'{target} must end in .pth for --format {format_name}')
    check_place(target)
