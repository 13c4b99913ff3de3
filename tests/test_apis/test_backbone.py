"""The frozen backbone of a checkpoint, and how its images are normalised."""

import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from conmim_mm.apis import backbone
from conmim_mm.formats.backbone import saved_normalisation
from conmim_mm.formats.source import read_source
from conmim_mm.models.backbones.conmim_vit import ConMIMViT
from conmim_mm.models.data_preprocessors.conmim_data_preprocessor import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ConMIMDataPreprocessor,
)
from conmim_mm.utils.shipped_files import recipe_file
from conmim_mm.utils.work_dir import last_checkpoint

from ..toy import saved_model


def test_another_image_size_resizes_the_tables(toy) -> None:
    frozen = backbone.frozen_backbone(toy.out, 'student', img_size=48)
    assert frozen.backbone.grid == (6, 6) and frozen.img_size == (48, 48)
    assert not frozen.backbone.training
    expected = saved_model(toy.out).backbone.blocks[0].mlp.fc1.weight
    torch.testing.assert_close(frozen.backbone.blocks[0].mlp.fc1.weight.cpu(), expected)


def test_workers_by_the_cores_of_this_process(monkeypatch) -> None:
    monkeypatch.setattr(backbone, 'usable_cores', lambda: 3)
    assert backbone.num_workers(None) == 3
    assert backbone.num_workers(0) == 0


@pytest.mark.parametrize('meta, mean, std', [
    (dict(cfg="model = dict(type='X', data_preprocessor=dict(mean=[1., 2., 3.], std=[4, 5, 6]))"),
     (1, 2, 3), (4, 5, 6)),
    (dict(cfg="model = dict(type='X')\ndata_preprocessor = dict(mean=[1, 2, 3], std=(4, 5, 6))"),
     (1, 2, 3), (4, 5, 6)),
    (dict(pretraining=dict(cfg='model = dict(data_preprocessor=dict(mean=[1] * 3, std=[1] * 3))')),
     IMAGENET_MEAN, IMAGENET_STD),  # computes: not read
    (dict(pretraining=dict(cfg='model = dict(data_preprocessor=dict(mean=[7, 8, 9], std=[1, 1, 1])'
                           ')')), (7, 8, 9), (1, 1, 1)),
    (dict(cfg="model = dict(data_preprocessor=dict(mean='a', std=3))"),
     IMAGENET_MEAN, IMAGENET_STD),
    (dict(cfg='model = dict(data_preprocessor=dict(to_rgb=True))'), IMAGENET_MEAN, IMAGENET_STD),
    ({}, IMAGENET_MEAN, IMAGENET_STD)])
def test_images_are_normalised_as_in_training(meta, mean, std) -> None:
    levels = torch.rand(2, 3, 4, 4) * 255
    normalised = ConMIMDataPreprocessor(*saved_normalisation(dict(meta=meta)))(
        dict(inputs=levels))['inputs']
    by_hand = [(levels[:, c] - mean[c]) / std[c] for c in range(3)]
    torch.testing.assert_close(normalised, torch.stack(by_hand, dim=1))


@pytest.mark.parametrize('form', ['paper', 'visible'])
def test_untrained_weights_are_those_that_the_run_began_with(form, tmp_path, monkeypatch) -> None:
    """Not those of another initialisation, beside which any weights look good."""
    cfg = Config.fromfile(str(recipe_file('tiny', form)))
    init_default_scope('mmpretrain')
    torch.manual_seed(3)
    began = MODELS.build(cfg.model.backbone)
    began.init_weights()
    state = {f'{place}backbone.{key}': torch.randn_like(value) + 1
             for key, value in began.state_dict().items() for place in ('', 'teacher.')}
    path = tmp_path / 'run.pth'
    torch.save(dict(meta=dict(settings=dict(model=cfg.model.to_dict())), state_dict=state), path)
    real, silenced = ConMIMViT.init_weights, []
    monkeypatch.setattr(ConMIMViT, 'init_weights', lambda self: (
        silenced.append(logging.root.manager.disable), real(self)))
    found = backbone.untrained(read_source(path), seed=3)
    assert silenced == [logging.INFO] and not logging.root.manager.disable
    for key, value in found.weights.items():  # a mask token less, so that other numbers are drawn
        size, begun = value.abs().mean().item(), began.state_dict()[key].abs().mean().item()
        assert size == pytest.approx(begun, rel=0.3), key


@pytest.mark.parametrize('rule', [
    dict(type='Pretrained', checkpoint='other.pth'),
    dict(type='Xavier', layer='Linear', override=dict(type='Pretrained', name='x',
                                                      checkpoint='other.pth'))])
def test_an_untrained_backbone_loads_no_file_of_its_config(rule, tmp_path, toy) -> None:
    checkpoint = torch.load(last_checkpoint(toy.out), weights_only=False)
    checkpoint['meta']['settings']['model']['backbone']['init_cfg'] = [rule]
    torch.save(checkpoint, tmp_path / 'run.pth')
    assert 'init_cfg' not in read_source(tmp_path / 'run.pth').start
