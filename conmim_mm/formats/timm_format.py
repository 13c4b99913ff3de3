"""Backbones from timm and for timm."""

import re
from pathlib import Path

import torch

from ..checkpoint.settings import SETTINGS
from ..errors import InputError, one_line
from ..models.layers.block import NORM_EPS
from ..utils.sizes import short_size
from .backbone import BackboneSizes, as_settings, save_weights
from .facts import UNKNOWN, Facts, grey_levels
from .key_names import SHARED, TABLE, Weights, format_kwargs, with_key_bias, without_table_module
from .translation import Translation, below, translate

ANCHOR = r'patch_embed.proj.weight'  # a weight that each such ViT has
# timm's models of this architecture: the sizes they come in, by width, depth and heads.
TIMM_MODELS = {
    (768, 12, 12): ('beit_base', (224, 384)),
    (1024, 24, 16): ('beit_large', (224, 384, 512)),
}
TIMM_VITS = {
    (768, 12, 12): ('vit_base', (224, 384)),
    (192, 12, 3): ('vit_tiny', (224, 384)),
    (384, 12, 6): ('vit_small', (224, 384)),
    (1024, 24, 16): ('vit_large', (224, 384)),
}
# In force in the original code of DeiT, MAE, DINO and DINOv2 as well, whose blocks may be nested.
_FROM_TIMM = (
    (r'^blocks\.\d+\.(\d+)\.', r'blocks.\1.'),
    (r'\.ls([12])\.gamma$', r'.gamma_\1'),
    (r'^norm_pre\.', 'pre_norm.'),
)
# Arguments of timm.create_model itself, which a config of the architecture has no say in.
_OWN_ARGUMENTS = {'model_name', 'pretrained', 'pretrained_cfg', 'pretrained_cfg_overlay',
                  'checkpoint_path', 'cache_dir', 'num_classes'}
_CLASSES, _BLOCKS = ('VisionTransformer', 'Beit'), ('Block',)


def from_timm(state: Weights, config: dict, whose: str = 'teacher',
              noted: Facts = UNKNOWN) -> Translation:
    """Reads timm's ``Beit`` and ``VisionTransformer``, and who names weights as they do.

    Args:
        state: All weights.
        config: timm's ``config.json``: ``architecture``, ``pretrained_cfg`` and ``model_args``.
        whose: ``'teacher'`` or ``'student'``, where there are both.
        noted: What else is known, where there is no such config.

    Raises:
        InputError: It is another architecture.
    """
    vit, others = below(state, ANCHOR, whose)
    facts = _facts(config) if 'architecture' in config else noted
    return translate('timm', vit, _FROM_TIMM, facts, others)


def _facts(config: dict) -> Facts:
    cfg, arguments = (part if isinstance(part, dict) else {} for part in (
        config.get('pretrained_cfg'), config.get('model_args')))
    size = cfg.get('input_size')
    size = arguments.get('img_size') or (size[1:] if isinstance(size, list | tuple) else None)
    try:
        model = timm_model(str(config['architecture']), arguments)
    except ImportError:
        return Facts(None, None, *(grey_levels(cfg.get(key)) for key in ('mean', 'std')), size)
    mean, std = (grey_levels(cfg.get(key, model.pretrained_cfg.get(key)))
                 for key in ('mean', 'std'))
    return Facts(model.blocks[0].attn.num_heads, model.blocks[0].norm1.eps, mean, std, size)


def timm_model(name: str, arguments: dict | None = None) -> torch.nn.Module:
    """A plain ViT of timm on the meta device, without weights.

    Args:
        name: As timm has it, with or without a tag of weights.
        arguments: Of ``timm.create_model``, out of a config.

    Raises:
        ImportError: timm is not installed.
        InputError: It is no plain ViT, or timm has no such model.
    """
    import timm

    if ':' in name or not timm.is_model(name):
        raise InputError(f'timm {timm.__version__} has no model {name}')
    arguments = {key: value for key, value in (arguments or {}).items()
                 if key not in _OWN_ARGUMENTS}
    try:
        with torch.device('meta'):
            model = timm.create_model(name, num_classes=0, **arguments)
    except Exception as error:  # whatever a model makes of arguments that are not for it
        raise InputError(f'timm cannot build {name}: {one_line(error)[:100]}') from error
    _check_model(model)
    return model


def _check_model(model: torch.nn.Module) -> None:
    """Looks for what the names of weights do not tell."""
    kind = type(model).__name__
    if getattr(model, 'rope', None) is not None:
        raise InputError('its positions are rotary (RoPE)')
    if kind not in _CLASSES:
        raise InputError(f"it is timm's {kind}, no plain ViT")
    block = model.blocks[0]
    if type(block).__name__ not in _BLOCKS:
        reason = {'ResPostBlock': 'its blocks normalise after attention (post-norm)',
                  'ParallelThingsBlock': 'its blocks are parallel',
                  'ParallelScalingBlock': 'its blocks are parallel'}
        raise InputError(reason.get(type(block).__name__, f'its blocks are {type(block).__name__}'))
    if 'GLU' in type(block.mlp).__name__:
        raise InputError('its MLP is a SwiGLU')
    act = getattr(block.mlp, 'act', None)
    if not isinstance(act, torch.nn.GELU) or act.approximate != 'none':
        raise InputError(f'its activation is {type(act).__name__}, not GELU')


def to_timm(weights: Weights, sizes: BackboneSizes) -> Weights:
    """State dict of timm's ``Beit`` without classifier; of its ``VisionTransformer`` without table.

    A shared table becomes one table per block: all of timm's named BEiT models are built so. The
    mask token is left out.

    Raises:
        InputError: timm has no such model.
    """
    if not sizes.has_tables:
        return _to_vision_transformer(weights, sizes)
    if sizes.pre_norm:
        raise InputError('timm has no BEiT with a LayerNorm before the blocks (pre_norm)')
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


def _to_vision_transformer(weights: Weights, sizes: BackboneSizes) -> Weights:
    converted = with_key_bias(weights)
    converted.pop('mask_token', None)
    if sizes.pre_norm:  # then timm's patches have no bias, which their positions take
        bias = converted.pop('patch_embed.proj.bias')
        converted['pos_embed'] = converted['pos_embed'] + torch.cat(
            [torch.zeros_like(bias)[None], bias.expand(converted['pos_embed'].shape[1] - 1, -1)])
    for pattern, replacement in ((r'\.gamma_([12])$', r'.ls\1.gamma'), (r'^pre_norm', 'norm_pre')):
        converted = {re.sub(pattern, replacement, key): value for key, value in converted.items()}
    return converted


def write_timm(weights: Weights, sizes: BackboneSizes, path: Path) -> None:
    """A file for timm, with what its weights do not tell for :func:`from_timm`."""
    meta = {SETTINGS: as_settings(sizes)}
    save_weights(dict(state_dict=to_timm(weights, sizes), meta=meta), path)


def timm_line(sizes: BackboneSizes, path: Path) -> str:
    """Loads a timm model; where no named one fits, the nearest one with other arguments."""
    mean, std = sizes.normalisation
    # timm takes the image size and the channels from input_size, too.
    overlay = dict(
        input_size=(sizes.in_channels, *sizes.img_size), mean=mean, std=std)
    arch = (sizes.embed_dims, sizes.num_layers, sizes.num_heads)
    models = TIMM_MODELS if sizes.has_tables else TIMM_VITS
    family, img_sizes = models.get(arch, next(iter(models.values())))
    side = short_size(sizes.img_size)
    img_size = side if side in img_sizes else 224
    arguments = dict(
        checkpoint_path=str(path), num_classes=0, global_pool='avg' if sizes.pooled else '')
    if arch not in models:
        arguments |= dict(embed_dim=arch[0], depth=arch[1], num_heads=arch[2])
    if sizes.patch_size != 16:
        arguments |= dict(patch_size=sizes.patch_size)
    if sizes.mlp_ratio != 4:
        arguments |= dict(mlp_ratio=sizes.mlp_ratio)
    if sizes.has_tables:
        arguments |= _beit_arguments(sizes)
    else:
        arguments |= _vit_arguments(sizes)
    written = format_kwargs(arguments)
    imports = 'timm'
    if sizes.norm_eps != NORM_EPS:
        written += f', norm_layer=functools.partial(torch.nn.LayerNorm, eps={sizes.norm_eps!r})'
        imports = 'functools, timm, torch'
    return (f'import {imports}; model = timm.create_model({f"{family}_patch16_{img_size}"!r}, '
            f'{written}, pretrained_cfg_overlay={overlay!r})')


def _beit_arguments(sizes: BackboneSizes) -> dict:
    arguments = {} if sizes.layer_scale else dict(init_values=0.)  # create_model drops None
    return arguments | (dict(use_abs_pos_emb=True) if sizes.pos_embed else {})


def _vit_arguments(sizes: BackboneSizes) -> dict:
    arguments = dict(init_values=0.1) if sizes.layer_scale else {}
    return arguments | (dict(pre_norm=True) if sizes.pre_norm else {})
