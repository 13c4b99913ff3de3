"""The original code's weights: from it and for it (https://github.com/TencentARC/ConMIM)."""

import re
from pathlib import Path

import torch

from ..errors import InputError
from ..models.layers.rel_pos_bias import relative_position_index
from .backbone import BackboneSizes, save_weights
from .key_names import TABLE, Weights, format_kwargs, without_table_module

# Parts of original checkpoints that no run of ConMIM uses: BEiT's token classifier, a second table
# for another resolution, and indices that are computed.
_UNUSED = re.compile(r'^(lm_head\.|rel_pos_bias2\.|.*relative_position_index$)')
_PROJECTOR = 'projectors.'
_HEAD = 'head.'


def to_official(weights: Weights, sizes: BackboneSizes) -> Weights:
    """State dict of the original's ``VisionTransformer`` (its fine-tuning model, no classifier).

    The original keeps the indices into the tables among its weights. It has no mask token here.
    """
    converted = {
        without_table_module(key): value
        for key, value in weights.items() if key != 'mask_token'
    }
    for key in [key for key in converted if key.endswith(TABLE)]:
        index = relative_position_index(sizes.grid)
        converted[key.replace(TABLE, 'relative_position_index')] = index
    return converted


def write_official(weights: Weights, sizes: BackboneSizes, path: Path) -> None:
    """A file for the original code."""
    save_weights(dict(model=to_official(weights, sizes)), path)


def official_line(sizes: BackboneSizes, path: Path) -> str:
    """Loads the original's model, in a checkout of https://github.com/TencentARC/ConMIM."""
    arguments = dict(
        img_size=sizes.img_size,
        patch_size=sizes.patch_size,
        in_chans=sizes.in_channels,
        num_classes=0,
        embed_dim=sizes.embed_dims,
        depth=sizes.num_layers,
        num_heads=sizes.num_heads,
        mlp_ratio=sizes.mlp_ratio,
        qkv_bias=True,
        init_values=0.1 if sizes.layer_scale else None,
        use_abs_pos_emb=sizes.pos_embed,
        use_rel_pos_bias=sizes.block_tables,
        use_shared_rel_pos_bias=sizes.shared_table,
        use_mean_pooling=sizes.pooled)
    return ('import functools, torch; from modeling_finetune import VisionTransformer; '
            f'model = VisionTransformer({format_kwargs(arguments)}, '
            'norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6)); '
            f'model.load_state_dict(torch.load({str(path)!r}, map_location="cpu")["model"])')


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
