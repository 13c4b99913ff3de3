"""Each toolbox fine-tunes a backbone of five bands, by the options that an export prints."""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from PIL import Image

from conmim_mm.apis import export
from conmim_mm.errors import InputError
from conmim_mm.models import ConMIMViT

from ..conftest import CONFIGS, load_tool
from ..test_formats.test_bands import CHANNELS, MEAN, STD, save_run
from ..test_formats.test_oblong import ARCH
from .conftest import two_steps

KEYS = dict(channels=CHANNELS, value_range=(100., 3000.))
CASES = {
    'classification/vit-tiny_1xb32_scenes-64px': ('imagenet', {
        'train_dataloader.dataset.images_per_class': None,
        'train_dataloader.dataset.pipeline.1.backend': 'cv2',
        'val_dataloader.dataset.pipeline.1.backend': 'cv2'}, 'accuracy/top1'),
    'segmentation/vit-tiny_upernet_1xb8_scenes-128px': ('ade', {
        'train_dataloader.dataset.img_suffix': '.tif',
        'val_dataloader.dataset.img_suffix': '.tif'}, 'mIoU'),
    'detection/vit-tiny_mask-rcnn_1xb8_scenes-128px': ('coco', {
        'model.test_cfg.rcnn.score_thr': 0.}, 'coco/bbox_mAP'),
}


def in_bands(folder: Path) -> None:
    """Turns pictures in place into TIFF files: their colours in 12 bits, and two more bands."""
    for path in folder.rglob('*.jpg'):
        pixels = 16 * np.asarray(Image.open(path)).astype('uint16')
        tifffile.imwrite(path.with_suffix('.tif'), np.dstack([pixels, pixels[..., :2] // 2]),
                         photometric='minisblack', planarconfig='contig')
        path.unlink()
    for path in folder.rglob('*.json'):
        path.write_text(path.read_text().replace('.jpg', '.tif'))


def options(words: str) -> dict:
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(words.split()).cfg_options


@pytest.mark.parametrize('config', CASES)
def test_two_steps(config: str, scenes: Path, tmp_path: Path) -> None:
    layout, changes, metric = CASES[config]
    if layout == 'coco':
        pytest.importorskip('mmcv._ext', reason='mmdet needs the compiled ops of mmcv')
    root = Path(shutil.copytree(scenes / layout, tmp_path / layout))
    in_bands(root)
    cfg = Config.fromfile(CONFIGS / f'{config}.py')
    save_run(tmp_path / 'own.pth', KEYS, arch=cfg.backbone.arch.to_dict(), img_size=64)
    line = export(tmp_path / 'own.pth', tmp_path / 'out.pth', 'mmpretrain')
    cfg = two_steps(cfg, root, tmp_path / 'work')
    if layout == 'coco':
        cfg.val_evaluator.ann_file = str(root / 'annotations' / 'instances_val2017.json')
    cfg.merge_from_dict(options(line) | {'train_dataloader.batch_size': 2} | changes)
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    seen = []
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        runner = Runner.from_cfg(cfg)
        runner.model.backbone.register_forward_pre_hook(
            lambda _, images: seen.append(images[0].detach().transpose(0, 1).flatten(1)))
        runner.train()
    # as levels from 0 to 255, by the range of values, where padding is the mean
    levels = torch.cat(seen, dim=1) * torch.tensor(STD)[:, None] + torch.tensor(MEAN)[:, None]
    assert levels.min() >= -0.01 and levels.max() <= 255.01
    assert levels.amax(dim=1).min() > 100
    assert np.isfinite(runner.message_hub.get_scalar('train/loss').current())
    assert np.isfinite(runner.message_hub.get_scalar(f'val/{metric}').current())


def test_says_what_the_weights_have_seen(tmp_path: Path, caplog) -> None:
    save_run(tmp_path / 'own.pth', KEYS)
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'own.pth'))
    settings = dict(arch=ARCH, img_size=16, patch_size=8)
    with pytest.raises(InputError, match='images of 5 channels: set .*in_channels=5'):
        ConMIMViT(**settings, init_cfg=init).init_weights()
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    with caplog.at_level('INFO', logger.name):
        ConMIMViT(**settings, in_channels=5, init_cfg=init).init_weights()
    logger.removeHandler(caplog.handler)
    assert "read by LoadImage with reading={'channels': 5, 'value_range': (100.0," in caplog.text


def test_no_pictures_of_bands(tmp_path: Path) -> None:
    draw_predictions = load_tool('test.py').draw_predictions
    cfg = Config.fromfile(CONFIGS / 'segmentation' / 'vit-tiny_upernet_1xb8_tiles-64px.py')
    with pytest.raises(InputError, match="--show-dir.* 8-bit colours, .*'channels': 13"):
        draw_predictions(cfg, str(tmp_path), 'it')


def test_no_scope_of_a_toolbox() -> None:
    with DefaultScope.overwrite_default_scope('mmengine'), \
            pytest.raises(InputError, match='default_scope is mmengine'):
        MODELS.build(dict(type='mmpretrain.AnyChannelsDataPreprocessor', mean=MEAN, std=STD))
