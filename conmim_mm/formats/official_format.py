"""Backbones from the original code of ConMIM and BEiT, and for the former.

That is https://github.com/TencentARC/ConMIM.
"""

from dataclasses import replace
from pathlib import Path

from ..checkpoint.settings import SETTINGS
from ..errors import InputError
from ..models.layers.rel_pos_bias import relative_position_index
from ..utils.sizes import short_size
from .backbone import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    BackboneSizes,
    as_settings,
    save_weights,
)
from .facts import HALF, UNKNOWN, Facts, noted_facts
from .key_names import TABLE, Weights, format_kwargs, without_table_module
from .timm_format import ANCHOR
from .translation import Translation, below, translate

_PROJECTOR = 'projectors.'


def from_official(state: Weights, checkpoint: dict, whose: str = 'teacher') -> Translation:
    """Reads checkpoints of ConMIM's, BEiT's, BEiT v2's and mc-BEiT's own code.

    Args:
        state: All weights.
        checkpoint: The contents of their file; the command line in it tells the normalisation.
        whose: ``'teacher'`` or ``'student'``, where there are both.

    Raises:
        InputError: It is another architecture.
    """
    is_conmim = any(key.startswith(_PROJECTOR) for key in state)
    others = {key: value for key, value in state.items() if not key.startswith(_PROJECTOR)}
    vit, left_out = below(others, ANCHOR, whose)
    # A second table is for another resolution.
    vit = {key: value for key, value in vit.items() if not key.startswith('rel_pos_bias2.')}
    facts = noted_facts(checkpoint)
    if facts == UNKNOWN:
        imagenet = getattr(checkpoint.get('args'), 'imagenet_default_mean_and_std', None)
        facts = _usual_facts(vit, is_conmim, imagenet)
    read = translate('ConMIM' if is_conmim else 'BEiT', vit, (), facts, left_out)
    if not is_conmim:
        return read
    projector = {f'layers.{key.removeprefix(_PROJECTOR)}': value for key, value in state.items()
                 if key.startswith(_PROJECTOR)}
    return replace(read, projector=projector)


def _usual_facts(vit: Weights, is_conmim: bool, imagenet: bool | None) -> Facts:
    is_beit2 = any(key.startswith('cls_pt_') for key in vit)
    if imagenet is not False and (is_conmim or imagenet or is_beit2):
        return Facts(mean=IMAGENET_MEAN, std=IMAGENET_STD)
    return Facts(mean=HALF, std=HALF) if imagenet is False or 'lm_head.weight' in vit else UNKNOWN


def to_official(weights: Weights, sizes: BackboneSizes) -> Weights:
    """State dict of the original's ``VisionTransformer`` (its fine-tuning model, no classifier).

    The original keeps the indices into the tables among its weights. It has no mask token here.

    Raises:
        InputError: The original has no such model.
    """
    if sizes.pre_norm:
        raise InputError('the original code has no LayerNorm before the blocks (pre_norm)')
    converted = {
        without_table_module(key): value
        for key, value in weights.items() if key != 'mask_token'
    }
    for key in [key for key in converted if key.endswith(TABLE)]:
        index = relative_position_index(sizes.grid)
        converted[key.replace(TABLE, 'relative_position_index')] = index
    return converted


def write_official(weights: Weights, sizes: BackboneSizes, path: Path) -> None:
    """A file for the original code, with what it does not tell of for :func:`from_official`."""
    meta = {SETTINGS: as_settings(sizes)}
    save_weights(dict(model=to_official(weights, sizes), meta=meta), path)


def official_line(sizes: BackboneSizes, path: Path) -> str:
    """Loads the original's model, in a checkout of https://github.com/TencentARC/ConMIM."""
    arguments = dict(
        img_size=short_size(sizes.img_size),
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
            f'norm_layer=functools.partial(torch.nn.LayerNorm, eps={sizes.norm_eps!r})); '
            f'model.load_state_dict(torch.load({str(path)!r}, map_location="cpu")["model"])')
