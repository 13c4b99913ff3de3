"""``conmim export``: the backbone of a checkpoint for timm, transformers and others."""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from ..checkpoint.reading import backbone_state, load_checkpoint_file
from ..errors import InputError
from ..formats.key_names import (
    BackboneSizes,
    Weights,
    normalisation,
    read_sizes,
    to_official,
    to_timm,
    to_transformers,
    transformers_config,
    transformers_preprocessor,
)
from ..models.extract import extract
from ..utils.files import check_place, writing
from .backbone import checkpoint_file

# timm's models of this architecture: the sizes they come in, by width, depth and heads.
TIMM_MODELS = {
    (768, 12, 12): ('beit_base', (224, 384)),
    (1024, 24, 16): ('beit_large', (224, 384, 512)),
}


def write_timm(weights: Weights, sizes: BackboneSizes, path: Path) -> None:
    """A file for timm."""
    torch.save(to_timm(weights, sizes), path)


def write_official(weights: Weights, sizes: BackboneSizes, path: Path) -> None:
    """A file for the original code."""
    torch.save(dict(model=to_official(weights, sizes)), path)


def write_transformers(weights: Weights, sizes: BackboneSizes, path: Path) -> None:
    """A folder for Hugging Face's transformers."""
    path.mkdir()
    for name, content in (('config.json', transformers_config(sizes)),
                          ('preprocessor_config.json', transformers_preprocessor(sizes))):
        (path / name).write_text(json.dumps(content, indent=2) + '\n')
    save_file(to_transformers(weights), path / 'model.safetensors', metadata=dict(format='pt'))
    # safetensors lets nobody but the owner read its files.
    (path / 'model.safetensors').chmod((path / 'config.json').stat().st_mode)


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
            f'{_call(arguments)}, pretrained_cfg_overlay={overlay!r})')


def transformers_line(sizes: BackboneSizes, path: Path) -> str:
    """Loads Hugging Face's model."""
    return f'from transformers import BeitModel; model = BeitModel.from_pretrained({str(path)!r})'


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
            f'model = VisionTransformer({_call(arguments)}, '
            'norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6)); '
            f'model.load_state_dict(torch.load({str(path)!r}, map_location="cpu")["model"])')


FORMATS = dict(
    timm=(write_timm, timm_line),
    transformers=(write_transformers, transformers_line),
    official=(write_official, official_line))


def export(source: Path, target: Path, format_name: str, weights: str | None = None,
           num_heads: int | None = None) -> str:
    """Exports the backbone of ``source`` to ``target`` and returns the line that loads it.

    Args:
        source: Any checkpoint of this project.
        target: File or folder to write.
        format_name: One of ``FORMATS``.
        weights: Whose weights to take from a pre-training checkpoint; None for the teacher's.
        num_heads: Attention heads, where the weights do not tell them.

    Raises:
        InputError: ``source`` cannot be read, is no checkpoint of this project or holds other
            weights than asked for; ``target`` exists or cannot be written.
    """
    check_target(target, format_name)
    checkpoint = load_checkpoint_file(source)
    extracted = checkpoint.get('meta', {}).get('weights')  # as extract_backbone.py notes them
    if weights and extracted not in (None, weights):
        raise InputError(f"{source} holds the {extracted}'s weights; drop --weights {weights}")
    backbone = backbone_state(checkpoint, weights or 'teacher')
    sizes = read_sizes(backbone, num_heads)
    warn_of_windows(checkpoint)
    write, line = FORMATS[format_name]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Written beside and moved, so that an interruption leaves nothing half-written.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f'.{target.name}.') as staging:
            write(backbone, sizes, Path(staging) / target.name)
            (Path(staging) / target.name).rename(target)
    except OSError as error:
        raise InputError(f'cannot write {target}: {error}') from error
    return line(sizes, target)


def warn_of_windows(checkpoint: dict) -> None:
    """Says so where the tokens will differ: window attention is not part of the weights."""
    config = str(checkpoint.get('meta', {}).get('cfg', ''))
    if re.search(r'window_blocks=[\[(]\s*-?\d', config):
        print('warning: this backbone was trained with attention windows in some blocks; the other '
              'library lets all its blocks attend globally, so its tokens differ', file=sys.stderr)


def _call(arguments: dict) -> str:
    return ', '.join(f'{name}={value!r}' for name, value in arguments.items())


def run(args: argparse.Namespace) -> None:
    """Writes the file or folder, and prints what loads it.

    Raises:
        InputError: No backbone in the checkpoint, or no place for the file.
    """
    source = checkpoint_file(args.checkpoint)
    if args.format == 'mmpretrain':
        check_target(args.target, args.format)
        with writing(args.target):
            extract(source, args.target, args.weights or 'teacher')
        print(f'wrote {args.target}; a config of a task takes it with')
        print(f'--cfg-options model.backbone.init_cfg.checkpoint={args.target}')
        return
    line = export(source, args.target, args.format, args.weights, args.num_heads)
    print(f'wrote {args.target}; it is loaded by')
    print(line)


def check_target(target: Path, format_name: str) -> None:
    """Looks at the name of the file before anything takes time.

    Raises:
        InputError: It exists, or does not end as it should.
    """
    if target.exists():
        raise InputError(f'{target} exists already; remove it or give another name')
    if format_name != 'transformers' and target.suffix != '.pth':
        raise InputError(f'{target} must end in .pth for --format {format_name}')
    check_place(target)
