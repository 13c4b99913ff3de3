"""A checkpoint of November 2026, before the package had its present layout.

Its config is kept as text alone and names hooks and imports that are gone. The features beside it
were taken then, from the teacher, by ``conmim embed`` of the same images.
"""

import numpy as np
import pytest
import torch
from load_model import load_pretraining
from mmengine.registry import init_default_scope
from mmpretrain import get_model
from mmpretrain.registry import MODELS
from public_checkpoint import publishable_checkpoint

from conmim_mm.checkpoint.settings import saved_settings
from conmim_mm.commands import main

from ..conftest import GOLDEN
from ..labelled import write_labelled_images
from ..toy import backbone_cfg, write_noise_images

CHECKPOINT = GOLDEN.parent / 'checkpoint_of_2026_11.pth'
FEATURES = GOLDEN.parent / 'checkpoint_of_2026_11_features.npz'
FIRST = 'patch_embed.proj.weight'
LAST = 'blocks.1.mlp.fc2.weight'


@pytest.fixture(scope='module')
def saved() -> dict:
    checkpoint = torch.load(CHECKPOINT, weights_only=False)
    assert 'settings' not in checkpoint['meta']  # or it is not that old
    return checkpoint


def test_gives_the_features_it_gave(tmp_path) -> None:
    (tmp_path / 'photos').mkdir()
    write_noise_images(tmp_path / 'photos', count=8, side=48)
    main(['embed', str(CHECKPOINT), '--data', str(tmp_path / 'photos'), '--out',
          str(tmp_path / 'features.npz'), '--workers', '0'])
    before, now = np.load(FEATURES), np.load(tmp_path / 'features.npz')
    assert now['paths'].tolist() == before['paths'].tolist()
    np.testing.assert_allclose(now['features'], before['features'], rtol=0, atol=1e-6)


def test_is_evaluated(tmp_path, capsys) -> None:
    images = write_labelled_images(tmp_path / 'labelled')
    main(['knn', str(CHECKPOINT), '--data', str(images), '--workers', '0', '--k', '3'])
    assert 'on 6 held-out images, from 24 with labels' in capsys.readouterr().out


@pytest.mark.parametrize(('name', 'file', 'first', 'last'), [
    ('timm', '', FIRST, LAST),
    ('official', '', FIRST, LAST),
    ('mmpretrain', '', f'backbone.{FIRST}', None),
    ('transformers', 'model.safetensors', 'embeddings.patch_embeddings.projection.weight',
     'encoder.layer.1.output.dense.weight')])
def test_is_exported(saved, tmp_path, name, file, first, last) -> None:
    target = tmp_path / ('exported' if file else 'exported.pth')
    main(['export', str(CHECKPOINT), str(target), '--format', name])
    if file:
        from safetensors.torch import load_file
        exported = load_file(target / file)
    else:
        exported = torch.load(target, weights_only=True)
    exported = exported.get('state_dict', exported.get('model', exported))
    weights = saved['state_dict']
    assert torch.equal(exported[first], weights[f'teacher.backbone.{FIRST}'])
    if last:
        name = next(key for key in weights if key.startswith('teacher.backbone.blocks.1.')
                    and weights[key].shape == exported[last].shape)
        assert torch.equal(exported[last], weights[name])


def test_starts_a_fine_tuning(saved) -> None:
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='ImageClassifier',
        backbone=backbone_cfg(use_mask_token=False, out_type='avg_featmap', init_cfg=dict(
            type='Pretrained', checkpoint=str(CHECKPOINT))),
        head=dict(type='LinearClsHead', num_classes=2, in_channels=24)))
    model.init_weights()
    weights = {key.removeprefix('teacher.'): value for key, value in saved['state_dict'].items()
               if key.startswith('teacher.')}
    found = {key: value for key, value in model.state_dict().items() if 'blocks.1' in key}
    assert found and all(torch.equal(value, weights[key]) for key, value in found.items())


def test_its_model_is_built_from_its_config(saved) -> None:
    model, cfg = load_pretraining(CHECKPOINT)
    assert all(torch.equal(value, saved['state_dict'][key])
               for key, value in model.state_dict().items())
    assert cfg.custom_imports.imports == ['conmim_mm']
    assert cfg.model.data_preprocessor.mean == (123.675, 116.28, 103.53)


def test_is_published_with_its_settings(saved, tmp_path) -> None:
    published = publishable_checkpoint(saved, 'all')
    assert published['meta']['settings']['data_root'] == 'REMOVED'
    assert published['meta']['settings']['model'] == saved_settings(saved)['model']
    torch.save(published, tmp_path / 'published.pth')
    assert saved_settings(torch.load(tmp_path / 'published.pth')) == published['meta']['settings']
    model = get_model(load_pretraining(CHECKPOINT).cfg, pretrained=str(tmp_path / 'published.pth'))
    assert torch.equal(model.state_dict()[f'backbone.{FIRST}'],
                       saved['state_dict'][f'backbone.{FIRST}'])
