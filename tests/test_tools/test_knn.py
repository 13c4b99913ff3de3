"""tools/benchmarks/knn.py, as typed."""

import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS
from PIL import Image
from scenes import SceneSettings, make_scenes

from conmim_mm.models.backbones.conmim_vit import ConMIMViT

from ..conftest import CONFIGS, load_tool

CONFIG = CONFIGS / 'classification' / 'vit-tiny_1xb32_scenes-64px.py'
PRETRAINING = CONFIGS / 'conmim' / 'vit-tiny_1xb32_scenes-64px.py'
NUM_LABELLED, NUM_TEST = 20, 10


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Scenes, a pre-training checkpoint and a classifier's."""
    init_default_scope('mmpretrain')
    folder = tmp_path_factory.mktemp('knn')
    make_scenes(folder / 'scenes', SceneSettings(images=2 * NUM_LABELLED, size=64, val=NUM_TEST))
    torch.manual_seed(0)
    conmim = MODELS.build(Config.fromfile(PRETRAINING).model)
    conmim.init_weights()
    for name, param in conmim.named_parameters():
        if name.startswith('teacher.backbone.') or 'bias_table' in name:
            torch.nn.init.normal_(param, std=0.1)
    torch.save(dict(state_dict=conmim.state_dict()), folder / 'pretrained.pth')

    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.init_cfg.checkpoint = str(folder / 'pretrained.pth')
    classifier = MODELS.build(cfg.model)
    classifier.init_weights()
    torch.nn.init.normal_(classifier.backbone.fc_norm.weight)
    torch.save(dict(state_dict=classifier.state_dict()), folder / 'classifier.pth')
    return folder


@pytest.fixture
def knn(monkeypatch, folder, tmp_path):
    """Calls the tool in this process; gives back what it wrote."""
    tool = load_tool('benchmarks/knn.py')
    scenes = folder / 'scenes' / 'imagenet'

    def call(checkpoint: Path, *args: object, config: Path = CONFIG, train_root: Path = scenes
             ) -> dict:
        out = tmp_path / 'new' / 'knn.json'
        options = [
            'test_dataloader.num_workers=0', f'test_dataloader.dataset.data_root={scenes}',
            f'train_dataloader.dataset.data_root={train_root}',
            f'train_dataloader.dataset.indices={NUM_LABELLED}',
            'train_dataloader.dataset.images_per_class=None']
        monkeypatch.setattr(sys, 'argv', [
            'knn.py', str(config), str(checkpoint), '--json', str(out), *map(str, args),
            '--cfg-options', *options])
        tool.run_tool(tool.main)
        return json.loads(out.read_text())

    return call


def dataset(root: Path, part: str, **kwargs):
    """Upright RGB images of 64 pixels need no further treatment."""
    return DATASETS.build(dict(
        type='ImageFiles', data_root=str(root), data_prefix=part, with_label=True,
        pipeline=[dict(type='LoadRGBImage'), dict(type='PackInputs')], **kwargs))


@torch.no_grad()
def one_nearest_by_hand(folder: Path, weights: dict, **form) -> float:
    """Share of test images whose most similar labelled image has their class."""
    vit = ConMIMViT(**{key: value for key, value in Config.fromfile(CONFIG).backbone.items()
                       if key != 'type'}, **form).eval()
    vit.load_state_dict(weights)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (
        (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    parts = []
    root = folder / 'scenes' / 'imagenet'
    for part in (dataset(root, 'train', indices=NUM_LABELLED), dataset(root, 'val')):
        images = torch.stack([(sample['inputs'] - mean) / std for sample in part])
        featmap, = vit(images)
        features = featmap if featmap.ndim == 2 else featmap.flatten(2).mean(dim=2)
        parts.append((features / features.norm(dim=1, keepdim=True),
                      torch.cat([sample['data_samples'].gt_label for sample in part])))
    (reference, known), (queries, truth) = parts
    return (known[(queries @ reference.T).argmax(dim=1)] == truth).float().mean().item()


@pytest.mark.parametrize('weights, prefix', [('teacher', 'teacher.backbone.'),
                                             ('student', 'backbone.')])
def test_pretraining_checkpoint(knn, folder, capsys, weights: str, prefix: str) -> None:
    state = torch.load(folder / 'pretrained.pth')['state_dict']
    own = {key.removeprefix(prefix): value for key, value in state.items()
           if key.startswith(prefix) and 'mask_token' not in key}
    expected = one_nearest_by_hand(folder, own, out_type='featmap')
    result = knn(folder / 'pretrained.pth', '--weights', weights, '--k', 1)
    assert result['top1'] == pytest.approx(expected)
    assert result['standard_error'] == pytest.approx((expected * (1 - expected) / NUM_TEST)**0.5)
    assert (result['num_images'], result['num_reference']) == (NUM_TEST, NUM_LABELLED)
    assert f'1-NN top-1: {expected:.2%}' in capsys.readouterr().out


def test_classifier_is_judged_by_what_its_head_sees(knn, folder) -> None:
    state = torch.load(folder / 'classifier.pth')['state_dict']
    own = {key.removeprefix('backbone.'): value for key, value in state.items()
           if key.startswith('backbone.')}
    expected = one_nearest_by_hand(folder, own, out_type='avg_featmap',
                                   use_shared_rel_pos_bias=False, use_rel_pos_bias=True)
    assert knn(folder / 'classifier.pth', '--k', 1)['top1'] == pytest.approx(expected)


def test_bad_arguments_get_one_line(knn, folder, tmp_path, capsys) -> None:
    good = folder / 'pretrained.pth'
    (tmp_path / 'broken.pth').write_bytes(good.read_bytes()[:1000])
    torch.save(dict(state_dict={'layer1.weight': torch.zeros(2)}), tmp_path / 'resnet.pth')
    for words, checkpoint, args, config in (
            ('no such checkpoint', tmp_path / 'none.pth', (), CONFIG),
            ('cannot load', tmp_path / 'broken.pth', (), CONFIG),
            ('no backbone in the checkpoint', tmp_path / 'resnet.pth', (), CONFIG),
            ('does not fit the backbone', good, (),
             CONFIGS / 'classification' / 'vit-s_linear_8xb2048-90e_in1k.py'),
            ('no such config', good, (), tmp_path / 'none.py'),
            ('is not a classification config', good, (), PRETRAINING),
            ('--k must be at least 1', good, ('--k', 0), CONFIG),
            ('--temperature must be above 0', good, ('--temperature', 0), CONFIG)):
        with pytest.raises(SystemExit) as stop:
            knn(checkpoint, *args, config=config)
        assert stop.value.code == 2
        # the whole list of weights that do not fit may stand in the log before it
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith('error: ') and words in error
    assert not (tmp_path / 'new').exists()


def test_bad_images_get_one_line(knn, folder, tmp_path, capsys) -> None:
    cat = tmp_path / 'cats' / 'train' / 'cat'
    cat.mkdir(parents=True)
    for i in range(NUM_LABELLED):
        Image.new('RGB', (64, 64)).save(cat / f'{i}.png')
    for words, root in (('no such folder', tmp_path / 'none'),
                        ('different classes', tmp_path / 'cats')):
        with pytest.raises(SystemExit) as stop:
            knn(folder / 'pretrained.pth', train_root=root)
        assert stop.value.code == 2
        error = capsys.readouterr().err.strip()
        assert words in error and '\n' not in error
