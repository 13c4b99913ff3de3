"""The backbone for Hugging Face's transformers."""

import json
import re
from pathlib import Path

from safetensors.torch import save_file

from ..models.layers.block import NORM_EPS
from ..utils.files import folder_written_whole
from .backbone import BackboneSizes
from .key_names import Weights, normalisation

FILES = ('config.json', 'preprocessor_config.json', 'model.safetensors')  # in its folder
_QKV = re.compile(r'^(.*)\.attn\.qkv\.weight$')
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


def to_transformers(weights: Weights) -> Weights:
    """State dict of Hugging Face's ``BeitModel``, as its files have it."""
    converted = {}
    for key, value in weights.items():
        if match := _QKV.match(key):
            layer = match[1].replace('blocks.', 'encoder.layer.', 1)
            for name, part in zip(('query', 'key', 'value'), value.chunk(3), strict=True):
                # Copies, since safetensors refuses tensors that share their memory.
                converted[f'{layer}.attention.attention.{name}.weight'] = part.clone()
            continue
        for pattern, replacement in _TO_TRANSFORMERS:
            key = re.sub(pattern, replacement, key)
        converted[key] = value.contiguous()
    return converted


def transformers_config(sizes: BackboneSizes) -> dict:
    """Hugging Face's ``config.json`` for :func:`to_transformers`."""
    return dict(
        model_type='beit',
        architectures=['BeitModel'],
        hidden_size=sizes.embed_dims,
        num_hidden_layers=sizes.num_layers,
        num_attention_heads=sizes.num_heads,
        intermediate_size=sizes.feedforward_channels,
        hidden_act='gelu',
        layer_norm_eps=NORM_EPS,  # its default is 1e-12
        image_size=sizes.img_size,
        patch_size=sizes.patch_size,
        num_channels=sizes.in_channels,
        use_mask_token=sizes.mask_token,
        use_absolute_position_embeddings=sizes.pos_embed,
        use_shared_relative_position_bias=sizes.shared_table,
        use_relative_position_bias=sizes.block_tables,
        # Only whether it is 0 matters: the scales themselves are among the weights.
        layer_scale_init_value=0.1 if sizes.layer_scale else 0.,
        use_mean_pooling=sizes.pooled)


def transformers_preprocessor(sizes: BackboneSizes) -> dict:
    """Hugging Face's ``preprocessor_config.json``: its default for BEiT is another mean and std."""
    mean, std = normalisation()
    side = dict(height=sizes.img_size, width=sizes.img_size)
    return dict(
        image_processor_type='BeitImageProcessor',
        do_resize=True, size=side, resample=3,  # bicubic
        do_center_crop=False, crop_size=side,
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
        save_file(to_transformers(weights), model, metadata=dict(format='pt'))
        # safetensors lets nobody but the owner read its files.
        model.chmod(config.stat().st_mode)


def transformers_line(sizes: BackboneSizes, path: Path) -> str:
    """Loads Hugging Face's model."""
    return f'from transformers import BeitModel; model = BeitModel.from_pretrained({str(path)!r})'
