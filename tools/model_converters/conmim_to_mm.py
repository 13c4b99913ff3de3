"""Converts a checkpoint of the original ConMIM code into one of this project.

Pre-training checkpoints become checkpoints of ``ConMIM``, fine-tuned classifiers become checkpoints
of mmpretrain's ``ImageClassifier`` with a ``ConMIMViT``; which of the two it is shows in the names.
"""

import argparse
import re
from pathlib import Path

import torch

import conmim_mm
from conmim_mm.checkpoint.reading import load_checkpoint_file
from conmim_mm.errors import InputError
from conmim_mm.formats.backbone import save_weights
from conmim_mm.utils.cli import add_overwrite_argument, add_trust_argument, run_tool
from conmim_mm.utils.files import check_new

# Parts of original checkpoints that no run of ConMIM uses: BEiT's token classifier, a second table
# for another resolution, and indices that are computed.
_UNUSED = re.compile(r'^(lm_head\.|rel_pos_bias2\.|.*relative_position_index$)')
_PROJECTOR = 'projectors.'
_HEAD = 'head.'


def load_original(path: Path) -> dict[str, torch.Tensor]:
    """The weights of an original checkpoint, loaded without running any code in it.

    Raises:
        InputError: No such file, not a checkpoint, or one that holds more than plain data.
    """
    # The original saves its command line beside the weights; a Namespace is only a record.
    checkpoint = load_checkpoint_file(path, [argparse.Namespace])
    # DeepSpeed, with which the original fine-tunes, calls them "module"
    weights = checkpoint.get('model', checkpoint.get('module', checkpoint))
    plain = isinstance(weights, dict) and weights and all(
        isinstance(value, torch.Tensor) for value in weights.values())
    if not plain:
        raise InputError(f'{path} has no state dict, neither under "model" nor "module" nor at the '
                         'top')
    return weights


def convert(source: Path, target: Path, teacher: Path | None = None) -> None:
    """Converts ``source`` (and ``teacher``, the original's moving average) and writes ``target``.

    Raises:
        InputError: A file cannot be read, or the weights are not ConMIM's.
    """
    weights = load_original(source)
    if f'{_HEAD}weight' in weights:
        if teacher is not None:
            raise InputError(f'{source} is a classifier, which has no teacher; drop --teacher')
        state_dict = classifier_from_original(weights)
    else:
        state_dict = pretraining_from_original(
            weights, load_original(teacher) if teacher else None)
    meta = dict(
        conmim_mm_version=conmim_mm.__version__,
        converted_from=source.name,
        teacher_from=teacher.name if teacher else None)
    save_weights(dict(meta=meta, state_dict=state_dict), target)


def pretraining_from_original(student: dict[str, torch.Tensor],
                              teacher: dict[str, torch.Tensor] | None = None) -> dict:
    """State dict of :class:`ConMIM` from original pre-training weights.

    Args:
        student: The original's ``model`` state dict.
        teacher: The state dict of its moving average, saved apart by the original
            (``checkpoint_copy``); None lets the teacher start as the student's copy.

    Raises:
        InputError: The weights have no projector: not a ConMIM pre-training checkpoint.
    """
    parts = {'': student} | ({} if teacher is None else {'teacher.': teacher})
    return {prefix + key: value for prefix, part in parts.items()
            for key, value in _rename(part, _PROJECTOR, 'neck.layers.').items()}


def classifier_from_original(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """State dict of an mmpretrain ``ImageClassifier`` from an original fine-tuned classifier.

    Args:
        weights: The original's ``model`` state dict: backbone, ``fc_norm`` or ``norm``, ``head``.
    """
    return _rename(weights, _HEAD, 'head.fc.')


def _rename(weights: dict[str, torch.Tensor], top: str, own_top: str) -> dict[str, torch.Tensor]:
    """Keys that start with ``top`` get ``own_top`` instead; the others are the backbone's."""
    if not any(key.startswith(top) for key in weights):
        raise InputError(f'the checkpoint has no {top}*: not a ConMIM pre-training checkpoint')
    converted = {}
    for key, value in weights.items():
        if key.startswith(top):
            converted[own_top + key.removeprefix(top)] = value
        elif not _UNUSED.match(key):
            # The original keeps a block's own table in its attention, without a module around it.
            own = key.replace('.attn.relative_position_bias_table',
                              '.attn.rel_pos_bias.relative_position_bias_table')
            converted[f'backbone.{own}'] = value
    return converted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, help='checkpoint of the original code')
    parser.add_argument('target', type=Path, help='file to write')
    parser.add_argument(
        '--teacher',
        type=Path,
        help="the original's moving average, saved beside it (checkpoint_copy-*.pth); without it "
        'the teacher starts as a copy of the student')
    add_overwrite_argument(parser)
    add_trust_argument(parser)
    args = parser.parse_args()
    check_new(args.target, args.overwrite)
    convert(args.source, args.target, args.teacher)
    print(f'wrote {args.target}')


if __name__ == '__main__':
    run_tool(main)
