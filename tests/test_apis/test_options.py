"""The evaluation during training, put into configs."""

import pytest
from mmengine.config import Config

from conmim_mm.apis.options import add_online_evaluation
from conmim_mm.errors import InputError

from ..conftest import CONFIGS


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
    loader = dict(batch_size=8, dataset=dict(data_root='elsewhere', max_images=90))
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
