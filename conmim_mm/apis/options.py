"""What options of the command line do to a config."""

import os

from mmengine.config import Config
from mmpretrain.registry import DATASETS
from torch.utils.data import Dataset

from ..checkpoint.settings import reading_in, type_name
from ..datasets.labelled_folder import check_apart, labelled_split
from ..datasets.reading import RGB, read_stored
from ..datasets.segmentation_folder import holds_maps, segmentation_split
from ..errors import InputError, UnreadableImageError
from ..utils.sizes import spread_indices

FLOAT32_WRAPPERS = ('', 'OptimWrapper', 'GuardedOptimWrapper')

CHECKED_IMAGES = 16
BEST, BEST_OF_MAPS = 'val/knn_top1', 'val/dense_knn_miou'


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


def check_evaluation_folder(folder: str, training_set: Dataset) -> None:
    """Looks for labels or maps in a folder, before a run is started with it.

    Args:
        folder: As for :func:`add_online_evaluation`.
        training_set: What is pre-trained on, loaded.

    Raises:
        InputError: There are none that are of use, or they are of training images.
    """
    if holds_maps(folder):
        check_apart(segmentation_split(folder).held_out_root, training_set)
    else:
        labelled_split(folder)
        check_apart(folder, training_set)


def check_evaluation_images(cfg: Config) -> None:
    """Reads some of the images that a config judges by, as those that it trains on are read.

    Args:
        cfg: As :func:`add_online_evaluation` leaves it.

    Raises:
        InputError: Most cannot be read so, as where they have other channels.
    """
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    how = getattr(dataset, 'reading', RGB)
    errors, indices = [], spread_indices(len(dataset), CHECKED_IMAGES)
    for index in indices:
        try:
            read_stored(dataset.get_data_info(index)['img_path'], how)
        except UnreadableImageError as error:
            errors.append(error)
    if len(errors) > len(indices) / 2:
        raise InputError(f'--eval-data: {len(errors)} of {len(indices)} images looked at cannot be '
                         f'read as those to train on, {how.in_words}: {errors[0]}')


def add_online_evaluation(cfg: Config, folder: str) -> None:
    """Has a run judge its features on a labelled folder, and keep the best checkpoint by k-NN.

    Before the first step, at intervals and at the end. Other settings of the checkpoint hook stay
    as they are, and so do those of a validation of this kind that the config has already, which
    gets the folder. A ``save_best`` of its own the config keeps.

    Args:
        cfg: A pre-training config, changed in place.
        folder: As ``data_root`` of :class:`LabelledMaps`, where it holds images and maps, or of
            :class:`LabelledImages`.

    Raises:
        InputError: No such folder.
    """
    folder = os.path.expanduser(folder)
    if not os.path.isdir(folder):
        raise InputError(f'no such folder of labelled images: {folder}')
    kinds = [('LabelledImages', 'FrozenFeatureMetric', BEST),
             ('LabelledMaps', 'DenseFeatureMetric', BEST_OF_MAPS)]
    of_other_kind, (dataset, metric, best) = kinds if holds_maps(folder) else kinds[::-1]
    if type_name(cfg.get('val_cfg') or {}) != 'FeatureValLoop' or (
            type_name(cfg.val_dataloader.dataset) == of_other_kind[0]):
        cfg.val_cfg = dict(type='mmpretrain.FeatureValLoop')
        cfg.val_evaluator = dict(type=f'mmpretrain.{metric}')
        cfg.val_dataloader = dict(
            batch_size=64,
            num_workers=cfg.get('train_dataloader', {}).get('num_workers', 0),
            sampler=dict(type='DefaultSampler', shuffle=False, seed=0),
            dataset=dict(type=f'mmpretrain.{dataset}',
                         size=cfg.model.get('backbone', {}).get('img_size', 224)))
    cfg.val_dataloader.dataset.data_root = folder
    cfg.val_dataloader.dataset.pop('reading', None)
    if keys := reading_in(cfg.get('train_dataloader')):
        cfg.val_dataloader.dataset.reading = keys
    hooks = dict(cfg.get('default_hooks') or {})
    hooks.setdefault('logger', dict(type='LoggerHook'))
    hooks.setdefault('checkpoint', dict(type='mmpretrain.AtomicCheckpointHook', interval=1))
    if hooks['logger']:
        hooks['logger']['log_metric_by_epoch'] = False  # by step, as all else
    if hooks['checkpoint'] and hooks['checkpoint'].get('save_best') in (None, '', of_other_kind[2]):
        hooks['checkpoint'].update(save_best=best, rule='greater')
    cfg.merge_from_dict(dict(train_cfg=dict(val_begin=0), default_hooks=hooks))
