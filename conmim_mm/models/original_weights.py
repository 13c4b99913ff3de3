"""Parameter names of the original implementation, in and out."""

import re

import torch

from ..errors import InputError

# Parts of original checkpoints that no run of ConMIM uses: BEiT's token classifier, a second table
# for another resolution, and indices that are computed.
_UNUSED = re.compile(r'^(lm_head\.|rel_pos_bias2\.|.*relative_position_index$)')
_PROJECTOR = 'projectors.'
_HEAD = 'head.'


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
    weights = _student_from_original(student)
    if teacher is not None:
        weights |= {
            f'teacher.{key}': value for key, value in _student_from_original(teacher).items()
        }
    return weights


def is_classifier(weights: dict[str, torch.Tensor]) -> bool:
    """Whether original weights are a fine-tuned classifier's rather than pre-training's."""
    return f'{_HEAD}weight' in weights


def classifier_from_original(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """State dict of an mmpretrain ``ImageClassifier`` from an original fine-tuned classifier.

    Args:
        weights: The original's ``model`` state dict: backbone, ``fc_norm`` or ``norm``, ``head``.

    Raises:
        InputError: The weights have no classifier.
    """
    if not is_classifier(weights):
        raise InputError('the checkpoint has no head.weight: not a fine-tuned classifier')
    return _rename(weights, _HEAD, 'head.fc.')


def _student_from_original(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    if not any(key.startswith(_PROJECTOR) for key in weights):
        raise InputError('the checkpoint has no projectors.*: not a ConMIM pre-training checkpoint')
    return _rename(weights, _PROJECTOR, 'neck.layers.')


def _rename(weights: dict[str, torch.Tensor], top: str, own_top: str) -> dict[str, torch.Tensor]:
    """Keys that start with ``top`` get ``own_top`` instead; the others are the backbone's."""
    converted = {}
    for key, value in weights.items():
        if _UNUSED.match(key):
            continue
        if key.startswith(top):
            converted[own_top + key.removeprefix(top)] = value
        else:
            converted[f'backbone.{_backbone_key(key)}'] = value
    return converted


def _backbone_key(key: str) -> str:
    # The original keeps a block's own table in its attention, without a module around it.
    return key.replace('.attn.relative_position_bias_table',
                       '.attn.rel_pos_bias.relative_position_bias_table')
