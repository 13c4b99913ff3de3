import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain import FeatureExtractor, get_model
from PIL import Image

from ..conftest import CONFIGS, TOOLS

CONFIG = CONFIGS / 'classification' / 'vit-tiny_1xb32_scenes-64px.py'


@pytest.fixture(scope='module')
def trained(tmp_path_factory, scenes):
    """A classifier after one step: its config, checkpoint and data."""
    folder = tmp_path_factory.mktemp('trained')
    (folder / 'scenes').symlink_to(scenes)
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({
        'model.backbone.init_cfg': None, 'experiment_name': 'test_tool', 'work_dir': str(folder),
        'train_cfg.max_iters': 1, 'train_cfg.val_interval': 9, 'param_scheduler.warmup': 0,
        'default_hooks.checkpoint.interval': 1, 'train_dataloader.batch_size': 4,
        'train_dataloader.dataset.images_per_class': 1})
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[name].update(num_workers=0, persistent_workers=False, pin_memory=False)
        cfg[name].dataset.data_root = str(folder / 'scenes' / 'imagenet')
    Runner.from_cfg(cfg).train()
    return folder


@pytest.fixture
def typed(trained, tmp_path):
    """tools/test.py and the words behind it."""
    return lambda *args, config=CONFIG, checkpoint='iter_1.pth': (
        'test.py', config, trained / checkpoint, '--work-dir', tmp_path / 'work',
        '--data-root', trained / 'scenes' / 'imagenet', *args, '--cfg-options',
        'test_dataloader.num_workers=0', f'experiment_name=test_tool_{tmp_path.name}')


def test_metrics_predictions_and_pictures(run_script, typed, tmp_path) -> None:
    run_script(*typed('--out', tmp_path / 'predictions.pkl', '--show-dir', tmp_path / 'pictures'))
    predictions = pickle.loads((tmp_path / 'predictions.pkl').read_bytes())
    assert len(predictions) == 10
    right = sum(int(one['pred_label']) == int(one['gt_label']) for one in predictions)
    log, = (tmp_path / 'work').glob('*/*.log')
    assert f'accuracy/top1: {right * 10:.4f}' in log.read_text()
    assert list((tmp_path / 'pictures').rglob('*.png'))


@pytest.mark.parametrize('arguments, keywords, words', [
    ((), dict(checkpoint='missing.pth'), 'no such checkpoint'),
    ((), dict(config='missing.py'), 'no such config'),
    ((), dict(config=CONFIGS / 'conmim' / 'vit-s_8xb256.py'), 'conmim knn'),
    (('--tta', ), {}, 'has no tta_model and tta_pipeline'),
    (('--out', 'predictions.json'), {}, '--out writes a pickle'),
])
def test_wrong_arguments_get_one_line(refused, typed, arguments, keywords, words) -> None:
    assert words in refused(*typed(*arguments, **keywords))


def test_the_training_images_need_not_be_there(run_script, typed) -> None:
    run_script(*typed(), 'train_dataloader.dataset.data_root=missing')


def test_a_checkpoint_of_another_model_is_refused(refused, typed, tmp_path) -> None:
    deeper = tmp_path / 'deeper.py'
    deeper.write_text(
        f'_base_ = {str(CONFIG)!r}\nmodel = dict(backbone=dict(arch=dict(num_layers=5)))\n')
    assert refused(*typed(config=deeper)).startswith(
        'error: the checkpoint does not fit the model: 16 missing: backbone.')


@pytest.mark.slow
def test_two_processes_count_every_image_once(trained, tmp_path) -> None:
    result = subprocess.run(
        [TOOLS / 'dist_test.sh', CONFIG, trained / 'iter_1.pth', '2', '--work-dir', tmp_path,
         '--data-root', trained / 'scenes' / 'imagenet', '--out', tmp_path / 'predictions.pkl'],
        capture_output=True, text=True, timeout=300, env=os.environ | dict(PYTHON=sys.executable))
    assert result.returncode == 0, result.stderr[-2000:]
    assert len(pickle.loads((tmp_path / 'predictions.pkl').read_bytes())) == 10


def test_mmpretrains_own_entry_points(trained) -> None:
    checkpoint = str(trained / 'iter_1.pth')
    model = get_model(str(CONFIG), pretrained=checkpoint)
    saved = torch.load(checkpoint, weights_only=False)['state_dict']
    assert all(value.equal(saved[key]) for key, value in model.state_dict().items())

    image = sorted((trained / 'scenes' / 'imagenet' / 'val').rglob('*.*'))[0]
    feature, = FeatureExtractor(str(CONFIG), pretrained=checkpoint)(str(image))[0]
    pixels = torch.tensor(np.asarray(Image.open(image).convert('RGB'))).permute(2, 0, 1)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (
        (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    with torch.no_grad():
        expected, = model.eval().backbone(((pixels - mean) / std)[None])
    torch.testing.assert_close(feature, expected[0], rtol=1e-3, atol=1e-3)
