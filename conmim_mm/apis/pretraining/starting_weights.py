"""A pre-training that starts from weights: their sizes go into the config, they into a file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from ...checkpoint.differences import describe_differences
from ...checkpoint.settings import type_name
from ...datasets.reading import RGB
from ...errors import InputError
from ...formats.key_names import Weights
from ...formats.mmpretrain_format import backbone_content
from ...formats.source import BackboneSource
from ...models.backbones.conmim_vit import ARCH_KEYS
from ...models.data_preprocessors.conmim_data_preprocessor import IMAGENET_MEAN, IMAGENET_STD
from ...utils.sizes import short_size, to_size
from .image_reading import find_readers, put_reading
from .recipe import look_up_pixels, set_image_size

# In the folder of the run; not among its checkpoints, which --resume looks through.
STARTING_WEIGHTS = Path('init', 'backbone.pth')
# What the recipes of each size are for, by the width of the ViT.
_WIDTHS = dict(l=1024, b=768, s=384, tiny=0)
# Settings of the backbone that are the run's, whatever the weights are.
_OF_THE_RUN = ('type', 'drop_path_rate', 'with_cp')


def nearest_arch(source: BackboneSource) -> str:
    """The size whose recipe suits a ViT of this width: the largest that is not wider."""
    width = source.settings['arch']['embed_dims']
    return next(arch for arch, least in _WIDTHS.items() if width >= least)


def spread_channels(source: BackboneSource, channels: int) -> BackboneSource:
    """The source for images of other channels: each has the mean of the old ones' weights.

    These are scaled such that an image whose channels are all alike gives what it gave.
    """
    old = source.settings['in_channels']
    if channels == old:
        return source
    key = 'patch_embed.proj.weight'
    mean = source.weights[key].mean(dim=1, keepdim=True)
    weights = source.weights | {key: mean.repeat(1, channels, 1, 1) * old / channels}
    rgb = channels == 3  # range, mean and deviation of others are measured
    return replace(
        source, weights=weights, settings=source.settings | dict(in_channels=channels),
        mean=IMAGENET_MEAN if rgb else channels * (0., ),
        std=IMAGENET_STD if rgb else channels * (1., ), reading=RGB,
        notes=(*source.notes, f'the patch embedding is of {channels} channels in place of {old}: '
               f'each has the mean of those, times {old}/{channels}'))


def start_from(cfg: Config, source: BackboneSource, out: Path,
               img_size: int | Sequence[int] | None = None) -> tuple[dict[str, str], dict]:
    """Lets a recipe start from weights.

    Args:
        cfg: Of either form of the student, changed in place: sizes, normalisation and the size of
            the views are the source's.
        source: The weights.
        out: Folder of the run.
        img_size: Side of the views, in pixels, or ``(height, width)``; by default the source's.

    Returns:
        What is worth knowing, by name, and what goes into ``STARTING_WEIGHTS`` there.
    """
    model, settings, anew = cfg.model, dict(source.settings), []
    settings.update(out_type='raw', use_mask_token=not model.get('decoder'))
    if img_size:
        settings['img_size'] = short_size(to_size(img_size))
    if settings['use_mask_token'] and 'mask_token' not in source.weights:
        anew.append('mask token')
    trained = replace(source, weights=_weights_to_train(source, settings))
    set_patch_size(cfg, settings['patch_size'], settings['img_size'])
    kept = {key: model.backbone[key] for key in _OF_THE_RUN if key in model.backbone}
    file = str((out / STARTING_WEIGHTS).absolute())
    model.backbone = kept | settings | dict(init_cfg=dict(type='Pretrained', checkpoint=file))
    width, heads = (settings['arch'][key] for key in ('embed_dims', 'num_heads'))
    model.neck.in_channels = width
    if model.get('decoder'):
        model.decoder.update(embed_dims=width, num_heads=heads)
        model.neck.update(hid_channels=2 * width, out_channels=width)
    if 'num_pixels' in model.head:
        look_up_pixels(cfg)
    model.data_preprocessor = (model.get('data_preprocessor') or {}) | dict(
        mean=source.mean, std=source.std)
    if source.reading != RGB:
        put_reading(find_readers(cfg), source.reading)
    if settings['use_abs_pos_emb']:
        model.head.centre_positions = True
    content = backbone_content(trained.weights, trained.sizes)
    for name, part, weights in (('decoder', model.get('decoder'), source.decoder),
                                ('projector', model.neck, source.projector)):
        if part and _fits(weights, part):
            part.init_cfg = dict(type='StrictPretrained', checkpoint=file, prefix=f'{name}.')
            content['state_dict'] |= {f'{name}.{key}': value for key, value in weights.items()}
        elif part:
            anew.append(name)
    return _describe(source, settings, anew), content


def new_parts(cfg: Config) -> list[str]:
    """The parts of the model, of a config of :func:`start_from`, that start with random weights."""
    starts = {part: (cfg.model.get(part) or {}).get('init_cfg') for part in ('decoder', 'neck')}
    return [part for part, init in starts.items() if cfg.model.get(part) and not (
        isinstance(init, dict) and type_name(init) == 'StrictPretrained')]


def set_patch_size(cfg: Config, patch: int, img_size: int | Sequence[int]) -> None:
    """Gives views and masks of a pipeline other sizes, in pixels; blocks keep theirs in patches."""
    set_image_size(cfg, img_size)
    for transform in cfg.train_dataloader.dataset.pipeline:
        old = transform.get('patch_size')
        if old and 'block_size' in transform:
            block = transform.block_size // old * patch
            fits = all(side % block == 0 for side in to_size(img_size))
            transform.block_size = block if fits else patch
        if old:
            transform.patch_size = patch


def check_settings(cfg: Config, before: dict) -> None:
    """Sees to it that other options have left what the weights say.

    Args:
        cfg: The config with all options applied.
        before: Its backbone without ``--cfg-options``.

    Raises:
        InputError: They contradict the weights.
    """
    now = cfg.model.backbone.to_dict()
    for key in now.keys() | before.keys():
        if key not in _OF_THE_RUN and now.get(key) != before.get(key):
            raise InputError(f'--cfg-options model.backbone.{key} is {now.get(key)}, but the '
                             f'weights of --init need {before.get(key)}: leave it out')


def follow_folder(cfg: Config, out: Path) -> None:
    """Lets the config of a run find its starting weights where the folder of the run is now.

    Args:
        cfg: Changed in place.
        out: The folder.
    """
    for part in map(cfg.model.get, ('backbone', 'decoder', 'neck')):
        init = (part or {}).get('init_cfg')
        if isinstance(init, dict) and Path(init.get('checkpoint') or '').parts[-2:] == \
                STARTING_WEIGHTS.parts:
            init.checkpoint = str((out / STARTING_WEIGHTS).absolute())


def _weights_to_train(source: BackboneSource, settings: dict) -> Weights:
    # the norm of pooled tokens, which fine-tuning has, becomes that of each token
    weights = {key.replace('fc_norm.', 'norm.'): value for key, value in source.weights.items()
               if key != 'mask_token' or settings['use_mask_token']}
    if settings['use_mask_token']:  # at 0: unlike any patch, and the same in each run
        weights.setdefault('mask_token', torch.zeros_like(weights['cls_token']))
    return weights


def _fits(weights: Weights | None, part: Config) -> bool:
    if not weights:
        return False
    init_default_scope('mmpretrain')
    with torch.device('meta'):
        own = MODELS.build(part).state_dict()
    return not describe_differences(own, weights)


def _describe(source: BackboneSource, settings: dict, anew: list[str]) -> dict[str, str]:
    arch = settings['arch']
    positions = [words for key, words in (
        ('use_shared_rel_pos_bias', 'one relative table'),
        ('use_rel_pos_bias', 'a relative table per block'),
        ('use_abs_pos_emb', "an absolute embedding, so each position's mean is taken out of the "
                            'tokens (centre_positions)')) if settings[key]]
    return {
        'starts from': f'{source.library}: ' + ', '.join(
            f'{arch[key]} {name}' for key, name in zip(
                ARCH_KEYS, ('wide', 'blocks', 'heads', 'in the MLPs'), strict=True))
        + f', patches of {settings["patch_size"]}',
        'positions': ' and '.join(positions),
        'not taken': ', '.join(source.left_out), 'changed': '; '.join(source.notes),
        'starts anew': ', '.join(anew)}
