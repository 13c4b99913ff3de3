"""Backbones from mmpretrain; and a small file for tasks of mmpretrain, mmseg- and mmdetection."""

from datetime import UTC, datetime
from inspect import signature
from pathlib import Path

from mmpretrain.registry import MODELS

from ..checkpoint.reading import BACKBONE, backbone_of_model, is_pretraining_checkpoint
from ..checkpoint.settings import SETTINGS, run_record, saved_arguments
from ..errors import InputError
from ..models.backbones.conmim_vit import ConMIMViT
from ..utils.files import sha256_of
from ..version import __version__
from .backbone import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    BackboneSizes,
    as_settings,
    save_weights,
)
from .facts import Facts, facts_of_run, number_in
from .key_names import Weights
from .translation import Translation, below, translate

NORM_EPS_OF_LN = 1e-5  # of mmpretrain's 'LN', where a config gives none
# Of the arguments of a task's backbone, those that must be as the weights are.
_NEEDED = ('patch_size', 'in_channels', 'layer_scale_init_value', 'use_abs_pos_emb', 'norm_eps',
           'pre_norm')
ANCHOR = 'patch_embed.projection.weight'  # a weight that each such ViT has
_FROM_MMPRETRAIN = (
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'^ln1\.', 'norm.'),
    (r'^ln2\.', 'fc_norm.'),
    (r'^layers\.', 'blocks.'),
    (r'\.ln([12])\.', r'.norm\1.'),
    (r'\.(?:attn|ffn)\.gamma([12])\.weight$', r'.gamma_\1'),
    (r'\.ffn\.layers\.0\.0\.', '.mlp.fc1.'),
    (r'\.ffn\.layers\.1\.', '.mlp.fc2.'),
)


def from_mmpretrain(state: Weights, checkpoint: dict, whose: str = 'teacher') -> Translation:
    """Reads mmpretrain's ``BEiTViT`` and ``VisionTransformer``, and what is derived from them.

    Args:
        state: All weights.
        checkpoint: The contents of their file; its config tells the heads.
        whose: ``'teacher'`` or ``'student'``, where there are both.

    Raises:
        InputError: It is another architecture.
    """
    vit, others = below(state, ANCHOR, whose)
    if 'ln1.weight' in vit:  # that of mean pooling comes after it
        others += sorted({key for key in vit if key.startswith('ln2.')})
        vit = {key: value for key, value in vit.items() if not key.startswith('ln2.')}
    return translate('mmpretrain', vit, _FROM_MMPRETRAIN, _facts(checkpoint), others)


def _facts(checkpoint: dict) -> Facts:
    settings = saved_arguments(checkpoint)
    if not settings:
        return Facts()
    kind, arch = MODELS.get(str(settings.get('type'))), settings.get('arch')
    if isinstance(arch, str):
        arch = getattr(kind, 'arch_zoo', {}).get(arch.lower())
    heads = number_in(arch, 'num_heads', int) if isinstance(arch, dict) else None
    match settings.get('layer_cfgs'):
        case {'act_cfg': {'type': act}} if act != 'GELU':
            raise InputError(f'its activation is {act}, not GELU')
    norm = settings.get('norm_cfg')
    eps = number_in(norm, 'eps', float) or NORM_EPS_OF_LN if isinstance(norm, dict) else None
    return facts_of_run(checkpoint, heads, eps)


def extract(checkpoint: dict, source: str, target: Path, weights: str = 'teacher') -> None:
    """Writes the backbone of a pre-training checkpoint of this project to a small file.

    Args:
        checkpoint: Its contents.
        source: Its file.
        target: File to write.
        weights: ``'teacher'`` or ``'student'``.

    Raises:
        InputError: It is no pre-training checkpoint.
    """
    if not is_pretraining_checkpoint(checkpoint):
        raise InputError(f'{source} is no pre-training checkpoint of ConMIM (it has no projector)')
    run = run_record(checkpoint)
    meta = dict(
        conmim_mm_version=__version__,
        weights=weights,
        source=Path(source).name,
        source_sha256=sha256_of(Path(source)),
        extracted=datetime.now(UTC).isoformat(timespec='seconds'),
        pretraining={key: run[key] for key in ('epoch', 'iter', 'seed', 'experiment_name', 'time',
                                               'mmengine_version', 'cfg', SETTINGS) if key in run})
    save_weights(dict(meta=meta, state_dict=backbone_of_model(checkpoint, weights)), target)


def write_backbone(weights: Weights, sizes: BackboneSizes, path: Path) -> None:
    """The same of any other source; its settings stand where those of a run would."""
    save_weights(backbone_content(weights, sizes), path)


def backbone_content(weights: Weights, sizes: BackboneSizes) -> dict:
    """What :func:`write_backbone` puts into the file."""
    meta = {'conmim_mm_version': __version__, SETTINGS: as_settings(sizes)}
    state = {f'{BACKBONE}{key}': value.contiguous().clone() for key, value in weights.items()}
    return dict(meta=meta, state_dict=state)


def backbone_line(sizes: BackboneSizes, path: Path) -> str:
    """Options with which a task's config takes the backbone, and reads images as it has done.

    Images of other channels or depth need a config whose pipelines begin with the reader.
    """
    settings = as_settings(sizes)['model']
    backbone, default = settings['backbone'], signature(ConMIMViT).parameters
    options = {f'backbone.arch.{key}': value for key, value in backbone['arch'].items()}
    options |= {f'backbone.{key}': backbone[key] for key in _NEEDED
                if backbone[key] != default[key].default}
    loading = {f'reading.{key}': value for key, value in sizes.reading.keys().items()}
    if loading:
        options['data_preprocessor.type'] = 'mmpretrain.AnyChannelsDataPreprocessor'
        loading = dict(type='mmpretrain.LoadImage') | loading
    if loading or (sizes.mean, sizes.std) != (IMAGENET_MEAN, IMAGENET_STD):
        options |= {f'data_preprocessor.{key}': settings['data_preprocessor'][key]
                    for key in ('mean', 'std')}
    words = [f'model.{key}={_word(value)}' for key, value in options.items()]
    words += [f'{loader}_dataloader.dataset.pipeline.0.{key}={_word(value)}'
              for loader in ('train', 'val', 'test') for key, value in loading.items()]
    return ' '.join(['--cfg-options', f'model.backbone.init_cfg.checkpoint={path}', *words])


def _word(value: object) -> str:
    return ','.join(map(str, value)) if isinstance(value, tuple) else str(value)
