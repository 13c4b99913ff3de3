"""Backbones of other images than 8-bit RGB: channels, means and reading go with the weights."""

import json
import shlex

import numpy as np
import pytest
import tifffile
import torch
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from conmim_mm.apis import compare, dense_knn, embed, export, knn
from conmim_mm.apis.backbone import frozen_backbone
from conmim_mm.apis.options import add_online_evaluation
from conmim_mm.apis.pretraining.plan import PretrainOptions, plan_run
from conmim_mm.datasets.reading import ImageReading
from conmim_mm.errors import InputError
from conmim_mm.formats.source import read_source
from conmim_mm.models import ConMIMViT

from ..conftest import CONFIGS
from ..labelled import write_labelled_images
from ..test_apis.test_export_backbone import NO_TABLES, randomise, run_line, tokens_of
from .test_oblong import ARCH

CHANNELS, SIDE = 5, 16
KEYS = dict(channels=CHANNELS, value_range=(1000., 1510.))
MEAN, STD = (10., 20., 30., 40., 50.), (50., 60., 70., 80., 90.)


def save_run(path, keys=KEYS, mean=MEAN, **settings) -> ConMIMViT:
    """A backbone as a run keeps it, with what it reads."""
    settings = dict(arch=ARCH, img_size=SIDE, patch_size=8, in_channels=CHANNELS) | settings
    backbone = ConMIMViT(**settings)
    randomise(backbone)
    torch.save(dict(
        meta=dict(settings=dict(
            model=dict(backbone=settings, data_preprocessor=dict(mean=mean, std=STD[:len(mean)])),
            train_dataloader=dict(dataset=dict(pipeline=[
                dict(type='LoadTwoViews', reading=keys)])))),
        state_dict={f'backbone.{key}': value for key, value in backbone.state_dict().items()}),
        path)
    return backbone.eval()


@pytest.fixture(scope='module')
def tiles(tmp_path_factory):
    """``a/`` and ``b/`` of ten images each, of five bands, whose values lie in 510 of 65536."""
    folder, rng = tmp_path_factory.mktemp('bands') / 'tiles', np.random.default_rng(0)
    for number in range(20):
        pixels = rng.integers(900, 1200, (SIDE, SIDE, CHANNELS), dtype='uint16')
        pixels[..., 3] += 400 * (number % 2)
        path = folder / 'ab'[number % 2] / f'{number}.tif'
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, pixels, photometric='minisblack', planarconfig='contig')
    return folder


@pytest.fixture(scope='module')
def maps(tiles):
    """The same images with a map each."""
    folder = tiles.parent / 'maps'
    for kind in ('images', 'annotations'):
        (folder / kind).mkdir(parents=True)
    for path in tiles.rglob('*.tif'):
        pixels = tifffile.imread(path)
        pixels[8:, :, 1:3] = 1500
        tifffile.imwrite(folder / 'images' / path.name, pixels, photometric='minisblack',
                         planarconfig='contig')
        tifffile.imwrite(folder / 'annotations' / path.name,
                         np.repeat([[0], [1]], 8, axis=0).repeat(SIDE, axis=1).astype('uint8'))
    return folder


def test_features_are_of_what_was_stored(tiles, tmp_path) -> None:
    backbone = save_run(tmp_path / 'own.pth')
    embed(tmp_path / 'own.pth', tiles, tmp_path / 'out.npz', workers=0)
    with np.load(tmp_path / 'out.npz') as file:
        features, paths, reading = file['features'], file['paths'], str(file['reading'])
    assert ImageReading.from_keys(json.loads(reading)) == ImageReading(**KEYS)
    stored = np.stack([tifffile.imread(tiles / path) for path in paths]).astype(np.float32)
    levels = np.rint(((stored - 1000) / 510 * 255).clip(0, 255))
    images = torch.from_numpy((levels - MEAN) / STD).float().permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = backbone.mean_tokens(images)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)


def test_judged(tiles, maps, tmp_path) -> None:
    save_run(tmp_path / 'own.pth')
    assert knn(tmp_path / 'own.pth', tiles, workers=0).top1 == 1
    assert dense_knn(tmp_path / 'own.pth', maps, workers=0).miou > 0.8  # at random 0.33
    found = compare([tmp_path / 'own.pth', 'random:'], tiles, workers=0)
    assert found.scores['random:']['knn'].value > 0.5


@pytest.mark.parametrize('channels', [3, 4])
def test_others_are_refused(tiles, maps, tmp_path, channels: int) -> None:
    """By number: pictures by a backbone of bands, and bands by one of pictures."""
    save_run(tmp_path / 'own.pth', dict(channels=channels) if channels != 3 else {},
             MEAN[:channels], in_channels=channels)
    for judge, data in ((knn, tiles), (dense_knn, maps)):
        with pytest.raises(InputError, match=f'none of the 16 images.* 5 channels, not {channels}'):
            judge(tmp_path / 'own.pth', data, workers=0)
    photos = write_labelled_images(tmp_path / 'photos', count=5)
    with pytest.raises(InputError, match='it has 3 channels, not 5'):
        save_run(tmp_path / 'own.pth')
        knn(tmp_path / 'own.pth', photos, workers=0)


def test_what_our_file_notes_counts_more_than_a_name(tmp_path) -> None:
    """Oblong, of five channels, of other heads than the model that is named."""
    save_run(tmp_path / 'own.pth', img_size=(16, 24), **NO_TABLES)
    export(tmp_path / 'own.pth', tmp_path / 'timm.pth', 'timm')
    bare, named = (read_source(f'{start}{tmp_path / "timm.pth"}')
                   for start in ('', 'timm:vit_tiny_patch16_224='))
    assert named.settings == bare.settings and named.settings['img_size'] == (16, 24)
    assert named.mean == pytest.approx(MEAN) and named.reading == ImageReading(**KEYS)


def test_a_config_that_reads_otherwise(tmp_path, scenes) -> None:
    options = dict(
        workers=0, config=CONFIGS / 'classification' / 'vit-tiny_1xb32_scenes-64px.py',
        cfg_options={'train_dataloader.dataset.images_per_class': None})
    for keys, words in ((KEYS, r'channels 5, value_range \(1000.0, 1510.0\)'),
                        (dict(value_range=(0., 999.), view_dtype='float32'),
                         r'value_range \(0.0, 999.0\), view_dtype float32')):
        channels = keys.get('channels', 3)
        save_run(tmp_path / 'own.pth', keys, MEAN[:channels], in_channels=channels)
        with pytest.raises(InputError, match=f'reads 8-bit RGB, .* trained on {words}: begin'):
            knn(tmp_path / 'own.pth', scenes / 'imagenet', **options)
    options['cfg_options']['test_dataloader.dataset.pipeline.0'] = dict(
        type='mmpretrain.LoadImage', reading=dict(value_range=(0., 999.)))
    assert knn(tmp_path / 'own.pth', scenes / 'imagenet', **options).num_images


@pytest.mark.parametrize('format_name', ['timm', 'transformers', 'official', 'mmpretrain'])
@pytest.mark.parametrize('keys', [KEYS, dict(channels=5)], ids=['range', 'bare'])
def test_out_and_in_again(tmp_path, monkeypatch, keys, format_name: str) -> None:
    backbone = save_run(tmp_path / 'own.pth', keys, **NO_TABLES)
    out = tmp_path / 'out.pth'
    line = export(tmp_path / 'own.pth', out, format_name)
    source = read_source(out)
    assert source.reading == ImageReading(**keys) and not source.notes
    assert source.mean == pytest.approx(MEAN, abs=1e-3)
    assert frozen_backbone(out).reading == ImageReading(**keys)
    if format_name == 'mmpretrain':
        return
    images = torch.randn(2, CHANNELS, SIDE, SIDE)
    theirs = run_line(line, monkeypatch)
    with torch.no_grad():
        torch.testing.assert_close(tokens_of(theirs, images), backbone.forward_tokens(images),
                                   rtol=1e-4, atol=1e-4)
    if format_name == 'timm':
        assert theirs.pretrained_cfg['mean'] == pytest.approx([one / 255 for one in MEAN], abs=1e-5)
        assert theirs.pretrained_cfg['input_size'] == (CHANNELS, SIDE, SIDE)


def test_options_of_a_task(tmp_path) -> None:
    save_run(tmp_path / 'own.pth')
    words = shlex.split(export(tmp_path / 'own.pth', tmp_path / 'out.pth', 'mmpretrain'))
    for loader in ('train', 'val', 'test'):
        start = f'{loader}_dataloader.dataset.pipeline.0.'
        assert {f'{start}type=mmpretrain.LoadImage', f'{start}reading.channels=5',
                f'{start}reading.value_range=1000.0,1510.0'} <= {*words}
    assert {'model.backbone.in_channels=5',
            'model.data_preprocessor.mean=10.0,20.0,30.0,40.0,50.0'} <= {*words}


def test_in_a_graph(tmp_path) -> None:
    import onnxruntime

    save_run(tmp_path / 'own.pth')
    export(tmp_path / 'own.pth', tmp_path / 'out.onnx', 'onnx')
    session = onnxruntime.InferenceSession(tmp_path / 'out.onnx')
    notes = session.get_modelmeta().custom_metadata_map
    assert session.get_inputs()[0].shape[1:] == [CHANNELS, SIDE, SIDE]
    assert len(json.loads(notes['mean'])) == CHANNELS
    assert ImageReading.from_keys(json.loads(notes['reading'])) == ImageReading(**KEYS)


def test_unknown_means_are_assumed(tmp_path) -> None:
    backbone = save_run(tmp_path / 'own.pth')
    state = {key: value for key, value in backbone.state_dict().items()}
    torch.save(state, tmp_path / 'bare.pth')
    assert read_source(tmp_path / 'bare.pth').mean == 5 * (127.5,)
    export(tmp_path / 'own.pth', tmp_path / 'timm.pth', 'timm')
    torch.save(torch.load(tmp_path / 'timm.pth')['state_dict'], tmp_path / 'timm.pth')
    source = read_source(tmp_path / 'timm.pth', num_heads=2)
    assert source.mean == 5 * (127.5,) and '0.5 of each of its 5 channels' in ''.join(source.notes)


def test_a_run_starts_from_it_and_is_judged(tiles, maps, tmp_path) -> None:
    """It goes on reading in the same way, and so does what judges it."""
    save_run(tmp_path / 'own.pth')
    plan = plan_run(PretrainOptions(
        data=tiles, init=str(tmp_path / 'own.pth'), out=tmp_path / 'run', epochs=1,
        eval_data=maps))
    reader = plan.cfg.train_dataloader.dataset.pipeline[0]
    assert dict(reader.reading) == KEYS and plan.cfg.model.data_preprocessor.mean == MEAN
    for folder, key in ((maps, 'gt_map'), (tiles, 'gt_label')):
        cfg = Config(plan.cfg.to_dict())
        add_online_evaluation(cfg, str(folder))
        sample = DATASETS.build(cfg.val_dataloader.dataset)[0]
        assert sample['inputs'].shape == (CHANNELS, SIDE, SIDE) and key in sample['data_samples']
        assert sample['inputs'].float().std() > 20  # of 65536 levels there would be none
