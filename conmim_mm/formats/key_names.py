"""Our backbone's weights under the names of timm, Hugging Face transformers and the original."""

import re
from dataclasses import dataclass

import torch

from ..checkpoint.differences import describe_differences
from ..errors import InputError
from ..models.backbones.conmim_vit import ConMIMViT
from ..models.data_preprocessors.conmim_data_preprocessor import IMAGENET_MEAN, IMAGENET_STD
from ..models.layers.block import NORM_EPS
from ..models.layers.embedding import infer_embedded_grid
from ..models.rel_pos_resize import infer_square_grid
from ..models.relation_index import relation_index

Weights = dict[str, torch.Tensor]

_SHARED = 'rel_pos_bias'
_TABLE = 'relative_position_bias_table'
# A block's own table lies in a module here, and in the attention itself elsewhere.
_OWN_TABLE = re.compile(rf'\.attn\.rel_pos_bias\.{_TABLE}$')
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


@dataclass(frozen=True)
class BackboneSizes:
    """What another library must know to build this backbone; lengths as in ``ConMIMViT``."""

    embed_dims: int
    num_layers: int
    num_heads: int
    feedforward_channels: int
    img_size: int
    patch_size: int
    in_channels: int
    layer_scale: bool
    shared_table: bool
    block_tables: bool
    pos_embed: bool
    mask_token: bool
    pooled: bool  # the last LayerNorm comes after mean pooling (fc_norm)

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the patch grid."""
        return (self.img_size // self.patch_size,) * 2

    @property
    def mlp_ratio(self) -> float:
        """The ratio from which ``int(embed_dims * ratio)`` makes the MLP's width."""
        ratio = self.feedforward_channels / self.embed_dims
        exact = int(self.embed_dims * ratio) == self.feedforward_channels
        return ratio if exact else (self.feedforward_channels + 0.5) / self.embed_dims


def read_sizes(weights: Weights, num_heads: int | None = None) -> BackboneSizes:
    """Reads off the weights what backbone they belong to, and that they are all of it.

    Args:
        weights: State dict of a :class:`ConMIMViT`, for square images.
        num_heads: Attention heads; needed where no relative position table tells them.

    Raises:
        InputError: Not a state dict of this backbone, or the heads or the image size are unclear.
    """
    embed_dims, in_channels, patch_size, _ = _shape(weights, 'patch_embed.proj.weight', 4)
    tables = [value for key, value in weights.items() if key.endswith(_TABLE)]
    blocks = [int(key.split('.')[1]) for key in weights if re.match(r'blocks\.\d+\.', key)]
    sizes = BackboneSizes(
        embed_dims=embed_dims,
        num_layers=1 + max(blocks, default=-1),
        num_heads=_read_heads(tables, num_heads, embed_dims),
        feedforward_channels=_shape(weights, 'blocks.0.mlp.fc1.weight', 2)[0],
        img_size=patch_size * _read_grid(tables, weights.get('pos_embed'))[0],
        patch_size=patch_size,
        in_channels=in_channels,
        layer_scale='blocks.0.gamma_1' in weights,
        shared_table=f'{_SHARED}.{_TABLE}' in weights,
        block_tables=any(_OWN_TABLE.search(key) for key in weights),
        pos_embed='pos_embed' in weights,
        mask_token='mask_token' in weights,
        pooled='fc_norm.weight' in weights)
    _check_complete(weights, sizes)
    return sizes


def to_timm(weights: Weights, sizes: BackboneSizes) -> Weights:
    """State dict of timm's ``Beit`` without classifier.

    A shared table becomes one table per block: all of timm's named BEiT models are built so. The
    mask token is left out.
    """
    shared = weights.get(f'{_SHARED}.{_TABLE}')
    converted = {
        _without_table_module(key): value
        for key, value in weights.items() if key not in ('mask_token', f'{_SHARED}.{_TABLE}')
    }
    if shared is not None:
        for i in range(sizes.num_layers):
            key = f'blocks.{i}.attn.{_TABLE}'
            converted[key] = shared + converted.get(key, 0.)
    return converted


def to_official(weights: Weights, sizes: BackboneSizes) -> Weights:
    """State dict of the original's ``VisionTransformer`` (its fine-tuning model, no classifier).

    The original keeps the indices into the tables among its weights. It has no mask token here.
    """
    converted = {
        _without_table_module(key): value
        for key, value in weights.items() if key != 'mask_token'
    }
    for key in [key for key in converted if key.endswith(_TABLE)]:
        converted[key.replace(_TABLE, 'relative_position_index')] = relation_index(sizes.grid)
    return converted


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


def normalisation() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std per RGB channel of images in 0-1: ImageNet's, as all configs here have it."""
    mean = tuple(round(value / 255, 6) for value in IMAGENET_MEAN)
    return mean, tuple(round(value / 255, 6) for value in IMAGENET_STD)


def _without_table_module(key: str) -> str:
    return _OWN_TABLE.sub(f'.attn.{_TABLE}', key)


def _shape(weights: Weights, key: str, ndim: int) -> torch.Size:
    if key not in weights or weights[key].ndim != ndim:
        raise InputError(f'the weights have no {key} of {ndim} dimensions: not a ConMIMViT; '
                         f'they begin with {", ".join(sorted(weights)[:3])}')
    return weights[key].shape


def _read_heads(tables: list[torch.Tensor], given: int | None, embed_dims: int) -> int:
    read = tables[0].shape[-1] if tables else given
    if read is None:
        raise InputError('without a relative position table the weights do not tell the number of '
                         'attention heads; give --num-heads')
    if given not in (None, read):
        raise InputError(f'--num-heads {given} contradicts the relative position table, which has '
                         f'{read} heads; leave the option out')
    if read < 1 or embed_dims % read:
        raise InputError(f'{read} attention heads do not divide the width {embed_dims}')
    return read


def _read_grid(tables: list[torch.Tensor], pos_embed: torch.Tensor | None) -> tuple[int, int]:
    if tables:
        grid = infer_square_grid(len(tables[0]))
    elif pos_embed is not None:
        grid = infer_embedded_grid(pos_embed)
    else:
        raise InputError('the weights have neither a relative position table nor an absolute '
                         'embedding, so the image size is unknown; such a ViT cannot be exported')
    if grid is None:
        raise InputError('the position table or embedding is not that of a square image; only '
                         'backbones built for square images can be exported')
    return grid


def build_backbone(sizes: BackboneSizes) -> ConMIMViT:
    """The backbone that :func:`read_sizes` has read about, with weights of its own."""
    arch = {name: getattr(sizes, name)
            for name in ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')}
    return ConMIMViT(
        arch=arch,
        img_size=sizes.img_size,
        patch_size=sizes.patch_size,
        in_channels=sizes.in_channels,
        out_type='avg_featmap' if sizes.pooled else 'raw',
        layer_scale_init_value=0.1 if sizes.layer_scale else 0.,
        use_shared_rel_pos_bias=sizes.shared_table,
        use_rel_pos_bias=sizes.block_tables,
        use_abs_pos_emb=sizes.pos_embed,
        use_mask_token=sizes.mask_token)


def _check_complete(weights: Weights, sizes: BackboneSizes) -> None:
    with torch.device('meta'):
        model = build_backbone(sizes)
    differences = describe_differences(model.state_dict(), weights)
    if differences:
        raise InputError(f'these are not the weights of one ConMIMViT: {differences}')
