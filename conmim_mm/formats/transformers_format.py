"""Backbones from Hugging Face's transformers and for it."""

import json
import re
from pathlib import Path

import torch
from safetensors.torch import save_file

from ..errors import InputError
from ..utils.files import folder_written_whole
from ..utils.sizes import short_size
from .backbone import BackboneSizes
from .facts import Facts, grey_levels, number_in
from .key_names import Weights, with_key_bias
from .translation import Translation, below, translate

READING = 'image_reading'  # in config.json, for this project
FILES = ('config.json', 'preprocessor_config.json', 'model.safetensors')  # in its folder
_QKV = re.compile(r'^(.*)\.attn\.qkv\.(weight|bias)$')
# Hugging Face's names on disk, in force in transformers 4 and 5; applied one after the other.
_TO_TRANSFORMERS = (
    (r'^(cls_token|mask_token)$', r'embeddings.\1'),
    (r'^pos_embed$', 'embeddings.position_embeddings'),
    (r'^patch_embed\.proj\.', 'embeddings.patch_embeddings.projection.'),
    (r'^rel_pos_bias\.', 'encoder.relative_position_bias.'),
    (r'^norm\.', 'layernorm.'),
    (r'^fc_norm\.', 'pooler.layernorm.'),
    (r'^blocks\.', 'encoder.layer.'),
    (r'\.norm1\.', '.layernorm_before.'),
    (r'\.norm2\.', '.layernorm_after.'),
    (r'\.gamma_', '.lambda_'),
    (r'\.mlp\.fc1\.', '.intermediate.dense.'),
    (r'\.mlp\.fc2\.', '.output.dense.'),
    (r'\.attn\.proj\.', '.attention.output.dense.'),
    (r'\.attn\.q_bias$', '.attention.attention.query.bias'),
    (r'\.attn\.v_bias$', '.attention.attention.value.bias'),
    (r'\.attn\.rel_pos_bias\.', '.attention.attention.relative_position_bias.'),
)


ANCHOR = 'embeddings.patch_embeddings.projection.weight'  # a weight that each such ViT has
# Those of the names above that other classes have, too, the other way round, and theirs.
_FROM_TRANSFORMERS = (
    (r'^embeddings\.(cls_token|mask_token)$', r'\1'),
    (r'^embeddings\.position_embeddings$', 'pos_embed'),
    (r'^embeddings\.patch_embeddings\.projection\.', 'patch_embed.proj.'),
    (r'^encoder\.relative_position_bias\.', 'rel_pos_bias.'),
    (r'^layernorm\.', 'norm.'),
    (r'^pooler\.layernorm\.', 'fc_norm.'),
    (r'^encoder\.layer\.', 'blocks.'),
    (r'\.layernorm_before\.', '.norm1.'),
    (r'\.layernorm_after\.', '.norm2.'),
    (r'\.(?:lambda_|layer_scale)([12])(?:\.lambda1)?$', r'.gamma_\1'),
    (r'\.intermediate\.dense\.', '.mlp.fc1.'),
    (r'\.attention\.output\.dense\.', '.attn.proj.'),
    (r'\.output\.dense\.', '.mlp.fc2.'),
    (r'\.attention\.attention\.relative_position_bias\.', '.attn.rel_pos_bias.'),
    (r'\.attention\.attention\.', '.attn.'),
)
_QUERY = re.compile(r'(.*\.attention\.attention\.)query\.(weight|bias)')


def from_transformers(state: Weights, config: dict, preprocessor: dict,
                      whose: str = 'teacher') -> Translation:
    """Reads ``BeitModel``, ``Data2VecVisionModel``, ``ViTModel``, ``ViTMAEModel``, ``Dinov2Model``.

    Their models with a head are read as well.

    Args:
        state: All weights.
        config: Hugging Face's ``config.json``; empty where it is missing.
        preprocessor: Its ``preprocessor_config.json``.
        whose: ``'teacher'`` or ``'student'``, where there are both.

    Raises:
        InputError: It is another architecture.
    """
    if (act := config.get('hidden_act', 'gelu')) != 'gelu':
        raise InputError(f'its activation is {act}, not GELU')
    vit, others = below(state, ANCHOR, whose)
    if not {'layernorm.weight', 'pooler.layernorm.weight'} & vit.keys():
        # a model for masked images normalises in its head
        vit |= {key: state[key] for key in ('layernorm.weight', 'layernorm.bias') if key in state}
        others = [name for name in others if name != 'layernorm']
    is_dinov2 = any('.layer_scale1.' in key for key in vit)
    eps = number_in(config, 'layer_norm_eps', float) or (
        1e-6 if is_dinov2 else 1e-12)  # the classes' defaults
    mean, std = (grey_levels(preprocessor.get(key)) for key in ('image_mean', 'image_std'))
    if preprocessor.get('do_normalize') is False:
        channels = vit[ANCHOR].shape[1]
        mean, std = channels * (0., ), channels * (255., )
    facts = Facts(number_in(config, 'num_attention_heads', int), eps, mean, std,
                  config.get('image_size'), config.get(READING) or {})
    return translate('transformers', _with_qkv(vit), _FROM_TRANSFORMERS, facts, others)


def _with_qkv(state: Weights) -> Weights:
    """Queries, keys and values in one tensor."""
    joined = dict(state)
    for key in state:
        if match := _QUERY.fullmatch(key):
            names = [f'{match[1]}{part}.{match[2]}' for part in ('query', 'key', 'value')]
            query, own_key, value = (joined.pop(name, None) for name in names)
            if value is None or match[2] == 'weight' and own_key is None:
                raise InputError(f'{names[2]} or {names[1]} is missing beside {key}')
            joined[f'{match[1]}qkv.{match[2]}'] = torch.cat(
                [query, torch.zeros_like(query) if own_key is None else own_key, value])
    return joined


def is_plain_vit(sizes: BackboneSizes) -> bool:
    """Whether Hugging Face's ``ViTModel`` is meant, not its ``BeitModel``."""
    return not (sizes.has_tables or sizes.pooled)


def to_transformers(weights: Weights, sizes: BackboneSizes) -> Weights:
    """State dict of Hugging Face's ``BeitModel`` or ``ViTModel``, as its files have it.

    The latter has no layer scale, which goes into the layers before it.

    Raises:
        InputError: Neither has a LayerNorm before the blocks, and ``BeitModel`` mixes up the sides
            of a table that is not square (``BeitRelativePositionBias.forward``).
    """
    if sizes.pre_norm:
        raise InputError('transformers has no such ViT with a LayerNorm before the blocks '
                         '(pre_norm); timm has')
    if sizes.has_tables and len(set(sizes.img_size)) > 1:
        raise InputError('BeitModel of transformers mixes up height and width of relative position '
                         'tables that are not of square images; timm does not')
    if is_plain_vit(sizes):
        weights = with_key_bias(_without_layer_scale(weights))
    converted = {}
    for key, value in weights.items():
        if match := _QKV.match(key):
            layer = match[1].replace('blocks.', 'encoder.layer.', 1)
            for name, part in zip(('query', 'key', 'value'), value.chunk(3), strict=True):
                # Copies, since safetensors refuses tensors that share their memory.
                converted[f'{layer}.attention.attention.{name}.{match[2]}'] = part.clone()
            continue
        for pattern, replacement in _TO_TRANSFORMERS:
            key = re.sub(pattern, replacement, key)
        converted[key] = value.contiguous()
    return converted


def _without_layer_scale(weights: Weights) -> Weights:
    folded = dict(weights)
    for key in weights:
        if match := re.fullmatch(r'(.*)\.gamma_([12])', key):
            layer = f'{match[1]}.{"attn.proj" if match[2] == "1" else "mlp.fc2"}'
            gamma = folded.pop(key)
            folded[f'{layer}.weight'] = gamma[:, None] * folded[f'{layer}.weight']
            folded[f'{layer}.bias'] = gamma * folded[f'{layer}.bias']
    return folded


def transformers_config(sizes: BackboneSizes) -> dict:
    """Hugging Face's ``config.json`` for :func:`to_transformers`."""
    config = dict(
        model_type='vit' if is_plain_vit(sizes) else 'beit',
        architectures=['ViTModel' if is_plain_vit(sizes) else 'BeitModel'],
        hidden_size=sizes.embed_dims,
        num_hidden_layers=sizes.num_layers,
        num_attention_heads=sizes.num_heads,
        intermediate_size=sizes.feedforward_channels,
        hidden_act='gelu',
        layer_norm_eps=sizes.norm_eps,  # its default is 1e-12
        image_size=short_size(sizes.img_size),
        patch_size=sizes.patch_size,
        num_channels=sizes.in_channels)
    if keys := sizes.reading.keys():  # which transformers keeps without a use for it
        config[READING] = keys
    if is_plain_vit(sizes):
        return config
    return config | dict(
        use_mask_token=sizes.mask_token,
        use_absolute_position_embeddings=sizes.pos_embed,
        use_shared_relative_position_bias=sizes.shared_table,
        use_relative_position_bias=sizes.block_tables,
        # Only whether it is 0 matters: the scales themselves are among the weights.
        layer_scale_init_value=0.1 if sizes.layer_scale else 0.,
        use_mean_pooling=sizes.pooled)


def transformers_preprocessor(sizes: BackboneSizes) -> dict:
    """Hugging Face's ``preprocessor_config.json``: its defaults are another mean and std."""
    mean, std = sizes.normalisation
    size = dict(zip(('height', 'width'), sizes.img_size, strict=True))
    return dict(
        image_processor_type=f'{"ViT" if is_plain_vit(sizes) else "Beit"}ImageProcessor',
        do_resize=True, size=size, resample=3,  # bicubic
        do_center_crop=False, crop_size=size,
        do_rescale=True, rescale_factor=1 / 255,
        do_normalize=True, image_mean=list(mean), image_std=list(std))


def write_transformers(weights: Weights, sizes: BackboneSizes, path: Path) -> None:
    """A folder for Hugging Face's transformers."""
    with folder_written_whole(path) as aside:
        aside.mkdir()
        config, preprocessor, model = (aside / name for name in FILES)
        for file, content in ((config, transformers_config(sizes)),
                              (preprocessor, transformers_preprocessor(sizes))):
            file.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
        save_file(to_transformers(weights, sizes), model, metadata=dict(format='pt'))
        # safetensors lets nobody but the owner read its files.
        model.chmod(config.stat().st_mode)


def transformers_line(sizes: BackboneSizes, path: Path) -> str:
    """Loads Hugging Face's model."""
    kind, arguments = 'BeitModel', repr(str(path))
    if is_plain_vit(sizes):
        kind, arguments = 'ViTModel', f'{arguments}, add_pooling_layer=False'
        if sizes.mask_token:
            arguments += ', use_mask_token=True'
    return f'from transformers import {kind}; model = {kind}.from_pretrained({arguments})'
