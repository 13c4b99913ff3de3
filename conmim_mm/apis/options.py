"""What options of the command line do to a config."""

import os

from mmengine.config import Config

from ..errors import InputError

FLOAT32_WRAPPERS = ('OptimWrapper', 'GuardedOptimWrapper', 'mmpretrain.GuardedOptimWrapper')

HOOK = 'OnlineEvaluationHook'
BEST = 'val/knn_top1'


def use_mixed_precision(cfg: Config) -> None:
    """Lets a config train in bfloat16, if it does not do so already."""
    if cfg.optim_wrapper.get('type', 'OptimWrapper') in FLOAT32_WRAPPERS:
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

    Other settings of the checkpoint hook stay as they are, and so do those of an
    ``OnlineEvaluationHook`` that the config has already, which gets the folder. A ``save_best`` of
    its own the config keeps.

    Args:
        cfg: A pre-training config, changed in place.
        folder: As ``data_root`` of
            :class:`OnlineEvaluationHook`.

    Raises:
        InputError: No such folder.
    """
    folder = os.path.expanduser(folder)
    if not os.path.isdir(folder):
        raise InputError(f'no such folder of labelled images: {folder}')
    hooks = [dict(hook) for hook in cfg.get('custom_hooks') or []]
    own = [hook for hook in hooks if hook['type'].rpartition('.')[2] == HOOK]
    if not own:
        own = [dict(type=f'mmpretrain.{HOOK}')]
        hooks += own
    own[0]['data_root'] = folder
    cfg.custom_hooks = hooks
    if 'default_hooks' not in cfg:
        cfg.default_hooks = {}
    if 'checkpoint' not in cfg.default_hooks:
        cfg.default_hooks.checkpoint = dict(type='mmpretrain.AtomicCheckpointHook', interval=1)
    checkpoint = cfg.default_hooks.checkpoint
    if checkpoint and not checkpoint.get('save_best'):
        checkpoint.update(save_best=BEST, rule='greater')
