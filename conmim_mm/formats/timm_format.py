"""The backbone for timm."""

from pathlib import Path

from .backbone import BackboneSizes, save_weights
from .key_names import SHARED, TABLE, Weights, format_kwargs, normalisation, without_table_module

# timm's models of this architecture: the sizes they come in, by width, depth and heads.
TIMM_MODELS = {
    (768, 12, 12): ('beit_base', (224, 384)),
    (1024, 24, 16): ('beit_large', (224, 384, 512)),
}


def to_timm(weights: Weights, sizes: BackboneSizes) -> Weights:
    """State dict of timm's ``Beit`` without classifier.

    A shared table becomes one table per block: all of timm's named BEiT models are built so. The
    mask token is left out.
    """
    shared = weights.get(f'{SHARED}.{TABLE}')
    converted = {
        without_table_module(key): value
        for key, value in weights.items() if key not in ('mask_token', f'{SHARED}.{TABLE}')
    }
    if shared is not None:
        for i in range(sizes.num_layers):
            key = f'blocks.{i}.attn.{TABLE}'
            converted[key] = shared + converted.get(key, 0.)
    return converted


def write_timm(weights: Weights, sizes: BackboneSizes, path: Path) -> None:
    """A file for timm."""
    save_weights(to_timm(weights, sizes), path)


def timm_line(sizes: BackboneSizes, path: Path) -> str:
    """Loads a timm model; where no named one fits, the nearest one with other arguments."""
    mean, std = normalisation()
    # timm takes the image size and the channels from input_size, too.
    overlay = dict(
        input_size=(sizes.in_channels, sizes.img_size, sizes.img_size), mean=mean, std=std)
    arch = (sizes.embed_dims, sizes.num_layers, sizes.num_heads)
    family, img_sizes = TIMM_MODELS.get(arch, ('beit_base', (224, 384)))
    img_size = sizes.img_size if sizes.img_size in img_sizes else 224
    arguments = dict(
        checkpoint_path=str(path), num_classes=0, global_pool='avg' if sizes.pooled else '')
    if arch not in TIMM_MODELS:
        arguments |= dict(embed_dim=arch[0], depth=arch[1], num_heads=arch[2])
    if sizes.patch_size != 16:
        arguments |= dict(patch_size=sizes.patch_size)
    if sizes.mlp_ratio != 4:
        arguments |= dict(mlp_ratio=sizes.mlp_ratio)
    if not sizes.layer_scale:
        arguments |= dict(init_values=0.)  # create_model drops None
    if sizes.pos_embed:
        arguments |= dict(use_abs_pos_emb=True)
    if not (sizes.block_tables or sizes.shared_table):
        arguments |= dict(use_rel_pos_bias=False)
    return (f'import timm; model = timm.create_model({f"{family}_patch16_{img_size}"!r}, '
            f'{format_kwargs(arguments)}, pretrained_cfg_overlay={overlay!r})')
