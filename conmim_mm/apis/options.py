"""What options of the command line do to a config."""

import os

from mmengine.config import Config

from ..checkpoint.settings import type_name
from ..errors import InputError

FLOAT32_WRAPPERS = ('', 'OptimWrapper', 'GuardedOptimWrapper')

BEST = 'val/knn_top1'


def use_mixed_precision(cfg: Config) -> None:
    """Lets a config train in bfloat16, if it does not do so already."""
    if type_name(cfg.optim_wrapper) in FLOAT32_WRAPPERS:
        cfg.optim_wrapper.type = 'mmpretrain.ConMIMAmpOptimWrapper'


def set_mismatch(cfg: Config, mismatch: str) -> None:
    """Sets what :class:`StartChecksHook` does with a checkpoint that does not fit.

    Raises:
        InputError: The config has no such hook.
    """
    checks = cfg.get('default_hooks', {}).get('start_checks')
    if not checks:
        raise InputError(f'{cfg.filename} has no default_hooks.start_checks, so there is nothing '
                         'that would refuse a checkpoint')
    checks.mismatch = mismatch


def add_online_evaluation(cfg: Config, folder: str) -> None:
    """Has a run judge its features on a labelled folder, and keep the best checkpoint by k-NN.

    Before the first step, at intervals and at the end. Other settings of the checkpoint hook stay
    as they are, and so do those of a validation of this kind that the config has already, which
    gets the folder. A ``save_best`` of its own the config keeps.

    Args:
        cfg: A pre-training config, changed in place.
        folder: As ``data_root`` of :class:`LabelledImages`.

    Raises:
        InputError: No such folder.
    """
    folder = os.path.expanduser(folder)
    if not os.path.isdir(folder):
        raise InputError(f'no such folder of labelled images: {folder}')
    if type_name(cfg.get('val_cfg') or {}) != 'FeatureValLoop':
        cfg.val_cfg = dict(type='mmpretrain.FeatureValLoop')
        cfg.val_evaluator = dict(type='mmpretrain.FrozenFeatureMetric')
        cfg.val_dataloader = dict(
            batch_size=64,
            num_workers=cfg.get('train_dataloader', {}).get('num_workers', 0),
            sampler=dict(type='DefaultSampler', shuffle=False, seed=0),
            dataset=dict(type='mmpretrain.LabelledImages',
                         size=cfg.model.get('backbone', {}).get('img_size', 224)))
    cfg.val_dataloader.dataset.data_root = folder
    hooks = dict(cfg.get('default_hooks') or {})
    hooks.setdefault('logger', dict(type='LoggerHook'))
    hooks.setdefault('checkpoint', dict(type='mmpretrain.AtomicCheckpointHook', interval=1))
    if hooks['logger']:
        hooks['logger']['log_metric_by_epoch'] = False  # by step, as all else
    if hooks['checkpoint'] and not hooks['checkpoint'].get('save_best'):
        hooks['checkpoint'].update(save_best=BEST, rule='greater')
    cfg.merge_from_dict(dict(train_cfg=dict(val_begin=0), default_hooks=hooks))
