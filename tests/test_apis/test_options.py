"""The evaluation during training, put into configs."""

from contextlib import nullcontext

import pytest
import torch
from mmengine.config import Config

from conmim_mm.apis.options import (
    add_online_evaluation,
    check_evaluation_folder,
    set_mismatch,
    use_mixed_precision,
)
from conmim_mm.datasets import ImageFiles
from conmim_mm.engine import StartChecksHook
from conmim_mm.errors import InputError
from conmim_mm.utils.run_config import read_config
from conmim_mm.visualization.trackers import add_trackers

from ..conftest import CONFIGS
from ..labelled import write_labelled_maps


@pytest.mark.parametrize('name', ['vit-tiny_1xb32_scenes-64px.py', 'vit-l_32xb64_fsdp.py'])
def test_our_configs_keep_what_they_had(name: str, tmp_path) -> None:
    before = Config.fromfile(CONFIGS / 'conmim' / name)
    cfg = Config.fromfile(CONFIGS / 'conmim' / name)
    add_online_evaluation(cfg, str(tmp_path))
    assert cfg.default_hooks == before.default_hooks | dict(
        checkpoint=before.default_hooks.checkpoint | dict(
            save_best='val/knn_top1', rule='greater'),
        logger=before.default_hooks.logger | dict(log_metric_by_epoch=False))
    assert cfg.train_cfg == before.train_cfg | dict(val_begin=0)
    assert cfg.val_dataloader.dataset == dict(
        type='mmpretrain.LabelledImages', data_root=str(tmp_path),
        size=before.model.backbone.img_size)
    assert cfg.val_dataloader.num_workers == before.train_dataloader.num_workers


def test_settings_of_ones_own_are_kept(tmp_path) -> None:
    loader = dict(batch_size=8, dataset=dict(
        data_root='elsewhere', max_images=90, reading=dict(channels=4)))  # which training has not
    cfg = Config(dict(
        val_cfg=dict(type='FeatureValLoop'), val_dataloader=loader, val_evaluator=dict(k=5),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', save_best='val/linear_top1'))))
    add_online_evaluation(cfg, str(tmp_path))
    assert cfg.val_dataloader == dict(
        batch_size=8, dataset=dict(data_root=str(tmp_path), max_images=90))
    assert cfg.val_evaluator == dict(k=5)
    assert cfg.default_hooks.checkpoint == dict(
        type='CheckpointHook', save_best='val/linear_top1')


def test_a_folder_of_maps_is_recognised_also_later(tmp_path) -> None:
    """A run that goes on may be told to be judged by another folder."""
    maps = write_labelled_maps(tmp_path / 'maps')
    (tmp_path / 'val').mkdir()
    cfg = Config(dict(model=dict(backbone=dict(img_size=64))))
    for folder, dataset, metric, best in (
            (maps, 'LabelledMaps', 'DenseFeatureMetric', 'val/dense_knn_miou'),
            (tmp_path / 'val', 'LabelledImages', 'FrozenFeatureMetric', 'val/knn_top1'),
            (maps, 'LabelledMaps', 'DenseFeatureMetric', 'val/dense_knn_miou')):
        add_online_evaluation(cfg, str(folder))
        assert cfg.val_dataloader.dataset == dict(
            type=f'mmpretrain.{dataset}', data_root=str(folder), size=64)
        assert cfg.val_evaluator == dict(type=f'mmpretrain.{metric}')
        assert cfg.default_hooks.checkpoint.save_best == best
    cfg.val_dataloader.dataset.ignore = [0]
    add_online_evaluation(cfg, str(maps))
    assert cfg.val_dataloader.dataset.ignore == [0]


@pytest.mark.parametrize('trained_on, refused', [
    ('images/train', False), ('images/val', True), ('images', True)])
def test_only_maps_of_the_training_images_may_be_learnt_from(tmp_path, trained_on: str,
                                                            refused: bool) -> None:
    for part in ('train', 'val'):
        write_labelled_maps(tmp_path, part, 3)
    training_set = ImageFiles(str(tmp_path / trained_on))
    with pytest.raises(InputError, match='holds images of the pre-training set') if refused else (
            nullcontext()):
        check_evaluation_folder(str(tmp_path), training_set)


def test_configs_without_hooks_get_them(tmp_path) -> None:
    cfg = Config(dict(model=dict()))
    add_online_evaluation(cfg, str(tmp_path))
    assert cfg.default_hooks.checkpoint.save_best == 'val/knn_top1'
    assert cfg.default_hooks.logger.log_metric_by_epoch is False
    without = Config(dict(model=dict(), default_hooks=dict(checkpoint=None, logger=None)))
    add_online_evaluation(without, str(tmp_path))
    assert without.default_hooks == dict(checkpoint=None, logger=None)


def test_no_such_folder() -> None:
    with pytest.raises(InputError, match='no such folder of labelled images: /no/such'):
        add_online_evaluation(Config(dict()), '/no/such')


LAZY = """
from mmengine.config import read_base
from mmengine.optim import OptimWrapper
from torch.optim import AdamW

from conmim_mm.datasets import ImageFiles
from conmim_mm.engine import StartChecksHook
from conmim_mm.engine.runners.feature_val_loop import FeatureValLoop
from conmim_mm.evaluation.metrics.frozen_features import FrozenFeatureMetric
from conmim_mm.models import ConMIM
from mmengine.visualization import Visualizer, TensorboardVisBackend

data_root = 'old/'
model = dict(type=ConMIM)
train_dataloader = dict(dataset=dict(type=ImageFiles, data_root=data_root, data_prefix='train'))
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=1e-3))
default_hooks = dict(start_checks=dict(type=StartChecksHook))
train_cfg = dict(max_epochs=1)
val_cfg = dict(type=FeatureValLoop)
val_evaluator = dict(type=FrozenFeatureMetric, k=5)
val_dataloader = dict(batch_size=8, dataset=dict(data_root='elsewhere'))
visualizer = dict(type=Visualizer, vis_backends=[dict(type=TensorboardVisBackend)])
"""


@pytest.mark.parametrize('through_a_base', [False, True])
def test_pure_python_configs_take_the_options(tmp_path, through_a_base) -> None:
    """Their types are classes."""
    path = tmp_path / 'lazy.py'
    path.write_text(LAZY)
    if through_a_base:
        path = tmp_path / 'upper.py'
        path.write_text('from mmengine.config import read_base\nwith read_base():\n'
                        '    from .lazy import *\n')
    cfg = read_config(str(path), {'optim_wrapper.optimizer.lr': 0.5}, str(tmp_path))
    use_mixed_precision(cfg)
    set_mismatch(cfg, 'allow')
    add_online_evaluation(cfg, str(tmp_path))
    cfg.work_dir = str(tmp_path)
    add_trackers(cfg, ['tensorboard'])
    assert cfg.optim_wrapper.type == 'mmpretrain.ConMIMAmpOptimWrapper'
    assert cfg.optim_wrapper.optimizer == dict(type=torch.optim.AdamW, lr=0.5)
    assert cfg.default_hooks.start_checks == dict(type=StartChecksHook, mismatch='allow')
    assert cfg.train_dataloader.dataset.data_root == f'{tmp_path}/'
    assert cfg.val_evaluator.k == 5  # the one that is there
    assert cfg.val_dataloader.dataset.data_root == str(tmp_path)
    assert len(cfg.visualizer.vis_backends) == 1
