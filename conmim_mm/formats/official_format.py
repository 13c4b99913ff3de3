"""The backbone for the original code (https://github.com/TencentARC/ConMIM)."""

from pathlib import Path

from ..models.layers.rel_pos_bias import relative_position_index
from .backbone import BackboneSizes, save_weights
from .key_names import TABLE, Weights, format_kwargs, without_table_module


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
