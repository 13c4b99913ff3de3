"""The demo, shortened to a few steps."""

import json
from functools import partial

import numpy as np
import pytest
from PIL import Image
from scenes import SceneSettings, make_scenes

from ..conftest import CONFIGS, load_tool
from ..toy import write_noise_images

SHORT = """
_base_ = {base!r}
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
param_scheduler = dict(warmup=1)
train_cfg = dict(max_iters=6)
default_hooks = dict(logger=dict(interval=2), checkpoint=dict(interval=3))
"""


@pytest.fixture
def demo(run_script, monkeypatch, tmp_path):
    """Calls tools/demo/demo.py in this process, on a short recipe and few scenes."""
    tool = load_tool('demo/demo.py')
    config = tmp_path / 'short.py'
    config.write_text(SHORT.format(
        base=str(CONFIGS / 'conmim/vit-tiny_visible_1xb32_scenes-64px.py')))
    monkeypatch.setattr(tool, 'CONFIG', config)
    monkeypatch.setattr(tool, 'SCENES', SceneSettings(images=40, size=64, val=20))

    return partial(run_script, tool, '--out', tmp_path / 'out')


@pytest.mark.slow
def test_scenes_then_repeat_then_other_settings(demo, tmp_path, capsys) -> None:
    out = tmp_path / 'out'
    demo()
    results = json.loads((out / 'results.json').read_text())
    assert results['num_held_out'] == 20 and results['num_classes'] == 10
    assert results['chance_loss'] == pytest.approx(np.log(64))
    assert set(results['accuracy']) == {'before', 'after'}
    assert Image.open(out / 'loss_curve.png').size[0] > 500
    assert (out / 'pretrain' / 'iter_6.pth').is_file()
    assert 'linear probe' in capsys.readouterr().out

    before = (out / 'results.json').stat().st_mtime_ns
    demo()
    assert (out / 'results.json').stat().st_mtime_ns == before
    assert 'has run already' in capsys.readouterr().out

    demo('--seed', 1)
    aside, = (out / 'earlier').iterdir()
    assert json.loads((aside / 'results.json').read_text()) == results
    assert json.loads((out / 'settings.json').read_text())['seed'] == 1


@pytest.mark.slow
def test_own_images_without_labels(demo, tmp_path, capsys) -> None:
    photos = tmp_path / 'photos'
    photos.mkdir()
    write_noise_images(photos, count=8, side=80)
    demo('--data', photos)
    printed = capsys.readouterr().out
    assert 'no labels' in printed and 'no accuracy' in printed
    assert 'accuracy' not in json.loads((tmp_path / 'out' / 'results.json').read_text())


def test_all_right_before_and_after_is_no_error() -> None:
    part = dict(knn=dict(value=1., standard_error=0.), linear=dict(value=1., standard_error=0.))
    text = load_tool('demo/demo.py').summarise(
        dict(loss=1., chance_loss=2., hit_rate=0.1, chance_hit_rate=0.01, num_held_out=4,
             num_classes=2, accuracy=dict(before=part, after=part)))
    assert '100.0%' in text and 'standard errors' not in text


@pytest.mark.slow
def test_own_labelled_images(demo, tmp_path) -> None:
    make_scenes(tmp_path / 'scenes', SceneSettings(images=60, size=64, val=20))
    demo('--data', tmp_path / 'scenes' / 'imagenet' / 'train')  # class folders, no held-out part
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert results['num_held_out'] == 10 and results['num_classes'] == 10


def test_bad_folders_get_one_line(refused, tmp_path) -> None:
    (tmp_path / 'empty').mkdir()
    for folder, words in ((tmp_path / 'none', 'no such folder'),
                          (tmp_path / 'empty', 'no images in')):
        assert words in refused('demo/demo.py', '--out', tmp_path / 'out', '--data', folder)
