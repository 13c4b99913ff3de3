"""Accuracy of frozen features on the images of a config, against the same by hand."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS
from PIL import Image

from conmim_mm.apis import knn as knn_accuracy
from conmim_mm.apis import linear
from conmim_mm.apis.evaluate import FeatureAccuracy
from conmim_mm.errors import InputError
from conmim_mm.evaluation import extract_features, knn_predict
from conmim_mm.models import ConMIMDataPreprocessor, ConMIMViT

from ..conftest import CONFIGS
from ..toy import save_scenes_model

CONFIG = CONFIGS / 'classification' / 'vit-tiny_1xb32_scenes-64px.py'
PRETRAINING = CONFIGS / 'conmim' / 'vit-tiny_1xb32_scenes-64px.py'
NUM_LABELLED, NUM_TEST = 20, 10


@pytest.fixture(scope='module')
def folder(tmp_path_factory, scenes) -> Path:
    """Scenes, a pre-training checkpoint and a classifier's."""
    init_default_scope('mmpretrain')
    folder = tmp_path_factory.mktemp('knn')
    (folder / 'scenes').symlink_to(scenes)
    torch.manual_seed(0)
    save_scenes_model(folder / 'pretrained.pth')
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.init_cfg.checkpoint = str(folder / 'pretrained.pth')
    classifier = MODELS.build(cfg.model)
    classifier.init_weights()
    torch.nn.init.normal_(classifier.backbone.fc_norm.weight)
    torch.save(dict(state_dict=classifier.state_dict()), folder / 'classifier.pth')
    return folder


@pytest.fixture
def knn(folder):
    """k-NN on the scenes of the config, with few of them labelled."""
    def call(checkpoint: Path, config: Path = CONFIG, train_root: Path | None = None, **settings
             ) -> FeatureAccuracy:
        options = {'train_dataloader.dataset.indices': NUM_LABELLED,
                   'train_dataloader.dataset.images_per_class': None}
        if train_root:
            options['train_dataloader.dataset.data_root'] = str(train_root)
        scenes = folder / 'scenes' / 'imagenet'
        return knn_accuracy(checkpoint, scenes, config=config, cfg_options=options, workers=0,
                            **settings)

    return call


def dataset(root: Path, part: str, **kwargs):
    """Upright RGB images of 64 pixels need no further treatment."""
    return DATASETS.build(dict(
        type='ImageFiles', data_root=str(root), data_prefix=part, with_label=True,
        pipeline=[dict(type='mmpretrain.LoadRGBImage'), dict(type='mmpretrain.PackInputs')],
        **kwargs))


def one_nearest_by_hand(folder: Path, weights: dict, **form) -> float:
    """Share of test images whose most similar labelled image has their class."""
    vit = ConMIMViT(**{key: value for key, value in Config.fromfile(CONFIG).backbone.items()
                       if key != 'type'} | form)
    vit.load_state_dict(weights)
    root = folder / 'scenes' / 'imagenet'
    (reference, known), (queries, truth) = (
        extract_features(vit, part, ConMIMDataPreprocessor(), num_workers=0)
        for part in (dataset(root, 'train', indices=NUM_LABELLED), dataset(root, 'val')))
    return (knn_predict(reference, known, queries, k=1) == truth).float().mean().item()


@pytest.mark.parametrize('weights, prefix', [('teacher', 'teacher.backbone.'),
                                             ('student', 'backbone.')])
def test_images_of_a_config(knn, folder, weights: str, prefix: str) -> None:
    state = torch.load(folder / 'pretrained.pth')['state_dict']
    own = {key.removeprefix(prefix): value for key, value in state.items()
           if key.startswith(prefix) and 'mask_token' not in key}
    expected = one_nearest_by_hand(folder, own, out_type='featmap', use_abs_pos_emb=False)
    result = knn(folder / 'pretrained.pth', weights=weights, k=1)
    assert result.top1 == pytest.approx(expected)
    assert result.standard_error == pytest.approx((expected * (1 - expected) / NUM_TEST)**0.5)
    assert (result.num_images, result.num_reference) == (NUM_TEST, NUM_LABELLED)
    assert result.img_size == 64


def test_classifier_is_judged_by_what_its_head_sees(knn, folder) -> None:
    state = torch.load(folder / 'classifier.pth')['state_dict']
    own = {key.removeprefix('backbone.'): value for key, value in state.items()
           if key.startswith('backbone.')}
    expected = one_nearest_by_hand(folder, own, out_type='avg_featmap',
                                   use_shared_rel_pos_bias=False, use_rel_pos_bias=True)
    assert knn(folder / 'classifier.pth', k=1).top1 == pytest.approx(expected)


def test_bad_arguments(knn, folder, tmp_path) -> None:
    good = folder / 'pretrained.pth'
    torch.save(dict(state_dict={'layer1.weight': torch.zeros(2)}), tmp_path / 'resnet.pth')
    for words, checkpoint, settings in (
            ('is no plain ViT', tmp_path / 'resnet.pth', {}),
            ('no such config', good, dict(config=tmp_path / 'none.py')),
            ('is not a classification config', good, dict(config=PRETRAINING)),
            ('--k must be at least 1', good, dict(k=0)),
            ('--temperature must be above 0', good, dict(temperature=0))):
        with pytest.raises(InputError, match=words):
            knn(checkpoint, **settings)
    with pytest.raises(InputError, match='give --data, a folder of labelled images, or --config'):
        linear(good)


def test_bad_images(knn, folder, tmp_path) -> None:
    cat = tmp_path / 'cats' / 'train' / 'cat'
    cat.mkdir(parents=True)
    for i in range(NUM_LABELLED):
        Image.new('RGB', (64, 64)).save(cat / f'{i}.png')
    for words, root in (('no such folder', tmp_path / 'none'),
                        ('different classes', tmp_path / 'cats')):
        with pytest.raises(InputError, match=words):
            knn(folder / 'pretrained.pth', train_root=root)
