"""Converts a checkpoint of the original ConMIM code into one of this project.

Pre-training checkpoints become checkpoints of ``ConMIM``, fine-tuned classifiers become checkpoints
of mmpretrain's ``ImageClassifier`` with a ``ConMIMViT``; which of the two it is shows in the names.
"""

import argparse
from pathlib import Path

import torch

import conmim_mm
from conmim_mm.checkpoint.reading import weights_below
from conmim_mm.errors import InputError
from conmim_mm.formats.backbone import save_weights
from conmim_mm.formats.official_format import from_official
from conmim_mm.formats.stored import stored_at
from conmim_mm.utils.cli import add_overwrite_argument, add_trust_argument, run_tool
from conmim_mm.utils.files import check_new


def convert(source: Path, target: Path, teacher: Path | None = None) -> None:
    """Converts ``source`` (and ``teacher``, the original's moving average) and writes ``target``.

    Raises:
        InputError: A file cannot be read, or the weights are not ConMIM's.
    """
    weights = stored_at(source).state('student')
    if 'head.weight' in weights:
        if teacher is not None:
            raise InputError(f'{source} is a classifier, which has no teacher; drop --teacher')
        state_dict = classifier_from_original(weights)
    else:
        state_dict = pretraining_from_original(
            weights, stored_at(teacher).state('teacher') if teacher else None)
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
    state_dict = {}
    for prefix, part in parts.items():
        if not any(key.startswith('projectors.') for key in part):
            raise InputError('the checkpoint has no projectors.*: not a ConMIM pre-training '
                             'checkpoint')
        read = from_official(part, {})
        state_dict |= {f'{prefix}backbone.{key}': value for key, value in read.weights.items()}
        state_dict |= {f'{prefix}neck.{key}': value for key, value in read.projector.items()}
    return state_dict


def classifier_from_original(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """State dict of an mmpretrain ``ImageClassifier`` from an original fine-tuned classifier.

    Args:
        weights: The original's ``model`` state dict: backbone, ``fc_norm`` or ``norm``, ``head``.
    """
    head = {f'head.fc.{key}': value for key, value in weights_below(weights, 'head.').items()}
    return head | {f'backbone.{key}': value
                   for key, value in from_official(weights, {}).weights.items()}


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
