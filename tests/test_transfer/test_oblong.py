"""Each toolbox fine-tunes a backbone of oblong images with an oblong crop."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from conmim_mm.models import ConMIMViT
from conmim_mm.models.layers.rel_pos_bias import resize_table

from ..conftest import CONFIGS
from .conftest import two_steps

TRAINED, CROP = (32, 80), (64, 48)  # (4, 10) and (8, 6) patches
TABLE = 'rel_pos_bias.relative_position_bias_table'
CASES = {
    'classification/vit-tiny_1xb32_scenes-64px': ('imagenet', {
        'train_dataloader.dataset.images_per_class': 1,
        'train_dataloader.dataset.pipeline.1.scale': CROP,
        'val_dataloader.dataset.pipeline.2.crop_size': CROP[::-1]},
        {1: dict(type='ResizeToCover', size=CROP)}, 'accuracy/top1'),
    'segmentation/vit-tiny_upernet_1xb8_scenes-128px': ('ade', {
        'train_dataloader.dataset.pipeline.3.crop_size': CROP,
        'model.data_preprocessor.size': CROP, 'model.test_cfg.crop_size': CROP,
        'model.test_cfg.stride': (40, 30)}, {}, 'mIoU'),
    'detection/vit-tiny_mask-rcnn_1xb8_scenes-128px': ('coco', {
        'train_dataloader.dataset.pipeline.2.scale': CROP[::-1],
        'train_dataloader.dataset.pipeline.2.keep_ratio': False,
        'model.test_cfg.rcnn.score_thr': 0.}, {}, 'coco/bbox_mAP'),
}


@pytest.mark.parametrize('config', CASES)
def test_two_steps(config: str, scenes: Path, tmp_path: Path) -> None:
    layout, changes, tested, metric = CASES[config]
    if layout == 'coco':
        pytest.importorskip('mmcv._ext', reason='mmdet needs the compiled ops of mmcv')
    cfg = Config.fromfile(CONFIGS / f'{config}.py')
    settings = dict(arch=cfg.backbone.arch.to_dict(), patch_size=8, img_size=TRAINED)
    pretrained = ConMIMViT(**settings)
    torch.nn.init.normal_(table := pretrained.rel_pos_bias.relative_position_bias_table)
    torch.save(dict(
        meta=dict(settings=dict(model=dict(backbone=settings))),
        state_dict={f'backbone.{key}': value for key, value in pretrained.state_dict().items()},
    ), tmp_path / 'conmim.pth')
    cfg = two_steps(cfg, scenes / layout, tmp_path / 'work')
    if layout == 'coco':
        cfg.val_evaluator.ann_file = str(
            scenes / layout / 'annotations' / 'instances_val2017.json')
    cfg.merge_from_dict({
        'model.backbone.img_size': CROP, 'train_dataloader.batch_size': 2,
        'model.backbone.init_cfg.checkpoint': str(tmp_path / 'conmim.pth')} | changes)
    for place, transform in tested.items():
        cfg.val_dataloader.dataset.pipeline[place] = transform
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    seen = []
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        runner = Runner.from_cfg(cfg)
        runner.model.init_weights()
        backbone = runner.model.backbone
        for block in backbone.blocks:
            torch.testing.assert_close(block.attn.get_parameter(TABLE),
                                       resize_table(table, (4, 10), (8, 6)))
        backbone.register_forward_pre_hook(
            lambda module, images: seen.append(images[0].shape[2:]) if module.training else None)
        runner.train()
    assert seen == [CROP, CROP]
    assert np.isfinite(runner.message_hub.get_scalar('train/loss').current())
    assert np.isfinite(runner.message_hub.get_scalar(f'val/{metric}').current())
