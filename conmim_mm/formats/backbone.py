"""A backbone from a checkpoint alone: its settings are read off the weights."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..checkpoint.differences import describe_differences
from ..checkpoint.reading import backbone_state
from ..checkpoint.settings import saved_arguments, saved_reading, saved_settings
from ..datasets.reading import RGB, ImageReading
from ..errors import InputError
from ..models.backbones.conmim_vit import ARCH_KEYS, ConMIMViT
from ..models.data_preprocessors.conmim_data_preprocessor import IMAGENET_MEAN, IMAGENET_STD
from ..models.layers.block import NORM_EPS
from ..models.layers.embedding import infer_pos_embed_grid
from ..models.layers.rel_pos_bias import infer_table_grid
from ..models.pretrained import fit_to_backbone
from ..utils.files import written_whole
from ..utils.sizes import divide_size, likely_grid, short_size, to_size
from .key_names import OWN_TABLE, SHARED, TABLE, Weights

HOW_TO_SAY = ('give --num-heads to `conmim export ... --format mmpretrain`, and take the file '
              'that it writes')  # the one command that has the option


def build_backbone(weights: Weights, sizes: 'BackboneSizes',
                   img_size: int | Sequence[int] | None = None) -> ConMIMViT:
    """A backbone with these weights, in eval mode.

    Args:
        weights: Its state dict.
        sizes: Of it.
        img_size: Side of the images, in pixels, or ``(height, width)``; position tables are resized
            to it. By default as it was trained.

    Raises:
        InputError: ``img_size`` does not fit its patches.
    """
    own = replace(sizes, img_size=to_size(img_size)) if img_size else sizes
    backbone = ConMIMViT(**backbone_settings(own))
    weights, _ = fit_to_backbone(backbone, weights, sizes.grid)
    backbone.load_state_dict(weights)
    return backbone.eval()


def saved_backbone(checkpoint: dict, weights: str = 'teacher', num_heads: int | None = None
                   ) -> tuple[Weights, 'BackboneSizes']:
    """Weights of a checkpoint of this project, and what they and its settings tell of them.

    Args:
        checkpoint: Its contents.
        weights: ``'teacher'`` or ``'student'``, whose to take from a pre-training checkpoint.
        num_heads: Attention heads, where nothing tells them.

    Raises:
        InputError: There is no such backbone.
    """
    extracted = checkpoint.get('meta', {}).get('weights')  # of an extracted backbone
    if weights == 'student' and extracted == 'teacher':
        raise InputError("the checkpoint holds the teacher's weights; drop --weights student")
    state = backbone_state(checkpoint, weights)
    saved = saved_arguments(checkpoint)
    arch, has_table = saved.get('arch'), any(key.endswith(TABLE) for key in state)
    if num_heads is None and not has_table and isinstance(arch, dict):
        num_heads = arch.get('num_heads')
    sizes = read_sizes(state, num_heads, saved.get('img_size'))
    eps, channels = saved.get('norm_eps'), sizes.in_channels
    mean, std = saved_normalisation(checkpoint, channels)
    return state, replace(sizes, mean=mean, std=std,
                          norm_eps=eps if isinstance(eps, float) else NORM_EPS,
                          reading=reading_of_weights(saved_reading(checkpoint), channels))


def reading_of_weights(keys: dict, channels: int) -> ImageReading:
    """How images are read for weights of so many channels.

    Args:
        keys: What else is known, as in a config; of other channels it counts for nothing.
        channels: Those of the patch embedding.

    Raises:
        InputError: There is no such reading.
    """
    own = ImageReading.from_keys(keys)
    return own if own.channels == channels else ImageReading(channels=channels)


def saved_normalisation(checkpoint: dict, channels: int = 3
                        ) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std per channel, in grey levels 0-255, as a checkpoint's settings name them.

    Where none can be read that are of so many channels, they are ImageNet's; of other than three
    half of the levels.
    """
    try:
        cfg = saved_settings(checkpoint)
        own = cfg['model'].get('data_preprocessor') or cfg.get('data_preprocessor') or {}
        if own.get('mean', ()) is own.get('std', ()) is None:  # images as they are
            return channels * (0., ), channels * (1., )
        mean, std = (tuple(map(float, value if isinstance(value, list | tuple) else [value]))
                     for value in (own['mean'], own['std']))
        if len(mean) == len(std) == channels:
            return mean, std
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    return (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else 2 * (channels * (127.5, ), )


@dataclass(frozen=True)
class BackboneSizes:
    """What another library must know to build this backbone; lengths as in ``ConMIMViT``."""

    embed_dims: int
    num_layers: int
    num_heads: int
    feedforward_channels: int
    img_size: tuple[int, int]  # height and width
    patch_size: int
    in_channels: int
    layer_scale: bool
    shared_table: bool
    block_tables: bool
    pos_embed: bool
    mask_token: bool
    pooled: bool  # the last LayerNorm comes after mean pooling (fc_norm)
    pre_norm: bool
    norm_eps: float = NORM_EPS  # not to be read off the weights, as what follows
    mean: tuple[float, ...] = IMAGENET_MEAN  # per channel, in grey levels 0-255
    std: tuple[float, ...] = IMAGENET_STD
    reading: ImageReading = RGB

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and std per channel of images in 0-1."""
        return tuple(tuple(round(value / 255, 6) for value in values)
                     for values in (self.mean, self.std))

    @property
    def has_tables(self) -> bool:
        """Whether there is any relative position table."""
        return self.shared_table or self.block_tables

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the patch grid."""
        return divide_size(self.img_size, self.patch_size, 'img_size', 'patch_size')

    @property
    def mlp_ratio(self) -> float:
        """The ratio from which ``int(embed_dims * ratio)`` makes the MLP's width."""
        ratio = self.feedforward_channels / self.embed_dims
        exact = int(self.embed_dims * ratio) == self.feedforward_channels
        return ratio if exact else (self.feedforward_channels + 0.5) / self.embed_dims


def read_sizes(weights: Weights, num_heads: int | None = None,
               img_size: object = None) -> BackboneSizes:
    """Reads off the weights what backbone they belong to, and that they are all of it.

    Args:
        weights: State dict of a :class:`ConMIMViT`.
        num_heads: Attention heads; needed where no relative position table tells them.
        img_size: Of the images, as settings beside the weights name it; needed where these are
            oblong.

    Raises:
        InputError: Not a state dict of this backbone, or the heads or the image size are unclear.
    """
    embed_dims, in_channels, patch_size, _ = _shape(weights, 'patch_embed.proj.weight', 4)
    tables = [value for key, value in weights.items() if key.endswith(TABLE)]
    blocks = [int(key.split('.')[1]) for key in weights if re.match(r'blocks\.\d+\.', key)]
    heads = _read_heads(tables, num_heads, embed_dims)
    height, width = _read_grid(
        tables, weights.get('pos_embed'), likely_grid(img_size, patch_size))
    sizes = BackboneSizes(
        embed_dims=embed_dims,
        num_layers=1 + max(blocks, default=-1),
        num_heads=heads,
        feedforward_channels=_shape(weights, 'blocks.0.mlp.fc1.weight', 2)[0],
        img_size=(height * patch_size, width * patch_size),
        patch_size=patch_size,
        in_channels=in_channels,
        layer_scale='blocks.0.gamma_1' in weights,
        shared_table=f'{SHARED}.{TABLE}' in weights,
        block_tables=any(OWN_TABLE.search(key) for key in weights),
        pos_embed='pos_embed' in weights,
        mask_token='mask_token' in weights,
        pooled='fc_norm.weight' in weights,
        pre_norm='pre_norm.weight' in weights)
    _check_complete(weights, sizes)
    return sizes


def _shape(weights: Weights, key: str, ndim: int) -> torch.Size:
    if key not in weights or weights[key].ndim != ndim:
        raise InputError(f'the weights have no {key} of {ndim} dimensions: not a ConMIMViT; '
                         f'they begin with {", ".join(sorted(weights)[:3])}')
    return weights[key].shape


def _read_heads(tables: list[torch.Tensor], given: int | None, embed_dims: int) -> int:
    read = tables[0].shape[-1] if tables else given
    if read is None:
        raise InputError('without a relative position table the weights do not tell the number of '
                         f'attention heads; {HOW_TO_SAY}')
    if given not in (None, read):
        raise InputError(f'--num-heads {given} contradicts the relative position table, which has '
                         f'{read} heads; leave the option out')
    if read < 1 or embed_dims % read:
        raise InputError(f'{read} attention heads do not divide the width {embed_dims}')
    return read


def _read_grid(tables: list[torch.Tensor], pos_embed: torch.Tensor | None,
               likely: tuple[int, int] | None) -> tuple[int, int]:
    if tables:
        grid = infer_table_grid(len(tables[0]), likely)
    elif pos_embed is not None:
        grid = infer_pos_embed_grid(pos_embed.shape[1] - 1, likely)
    else:
        raise InputError('the weights have neither a relative position table nor an absolute '
                         'embedding, so the image size is unknown; such a ViT cannot be exported')
    if grid is None:
        raise InputError('the position table or embedding is not that of a square image, and no '
                         'settings beside the weights tell height and width')
    return grid


def backbone_settings(sizes: BackboneSizes) -> dict:
    """Arguments of the ``ConMIMViT`` that :func:`read_sizes` has read about."""
    return dict(
        arch={name: getattr(sizes, name) for name in ARCH_KEYS},
        img_size=short_size(sizes.img_size),
        patch_size=sizes.patch_size,
        in_channels=sizes.in_channels,
        out_type='avg_featmap' if sizes.pooled else 'raw',
        layer_scale_init_value=0.1 if sizes.layer_scale else 0.,
        use_shared_rel_pos_bias=sizes.shared_table,
        use_rel_pos_bias=sizes.block_tables,
        use_abs_pos_emb=sizes.pos_embed,
        use_mask_token=sizes.mask_token,
        norm_eps=sizes.norm_eps,
        pre_norm=sizes.pre_norm)


def as_settings(sizes: BackboneSizes) -> dict:
    """The same, normalisation and reading, in the form in which a run keeps its settings."""
    settings = dict(model=dict(
        backbone=dict(type='ConMIMViT', **backbone_settings(sizes)),
        data_preprocessor=dict(type='ConMIMDataPreprocessor', mean=sizes.mean, std=sizes.std)))
    if keys := sizes.reading.keys():
        loading = dict(type='LoadImage', reading=keys)
        settings['train_dataloader'] = dict(dataset=dict(pipeline=[loading]))
    return settings


def _check_complete(weights: Weights, sizes: BackboneSizes) -> None:
    with torch.device('meta'):
        model = ConMIMViT(**backbone_settings(sizes))
    differences = describe_differences(model.state_dict(), weights)
    if differences:
        raise InputError(f'these are not the weights of one ConMIMViT: {differences}')


def save_weights(content: dict, path: Path) -> None:
    """Writes a file of weights, whole or not at all.

    Raises:
        InputError: It can't be written.
    """
    with written_whole(path) as aside, aside.open('wb') as file:
        torch.save(content, file)  # given a path, it would write that into the file
