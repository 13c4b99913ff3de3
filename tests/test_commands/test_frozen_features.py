"""conmim knn, linear and embed: the numbers, and what they refuse."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS

from conmim_mm.apis import backbone as frozen_backbone
from conmim_mm.apis.backbone import labelled_split
from conmim_mm.apis.embed import read_labels
from conmim_mm.commands import main
from conmim_mm.errors import InputError
from conmim_mm.evaluation import (
    extract_features,
    knn_predict,
    labelled_datasets,
    linear_probe_predict,
)
from conmim_mm.formats.backbone import load_backbone
from conmim_mm.models.data_preprocessors.conmim_data_preprocessor import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ConMIMDataPreprocessor,
)
from conmim_mm.utils.work_dir import last_checkpoint

from ..toy import model_cfg


@pytest.fixture(scope='module')
def saved(toy):
    """The model of the run, built from its config and not from the weights alone."""
    model = MODELS.build(model_cfg())
    model.load_state_dict(torch.load(last_checkpoint(toy.out), weights_only=False)['state_dict'])
    return model.eval()


def features_by_hand(backbone, labelled):
    """Features and labels of both parts."""
    return [extract_features(backbone, part, ConMIMDataPreprocessor(), num_workers=0)
            for part in labelled_datasets(labelled_split(labelled), 32)]


def expected(predict, parts, **settings) -> float:
    (features, labels), (held_out, truth) = parts
    predicted = predict(features, labels, held_out, **settings)
    return (predicted == truth).float().mean().item()


@pytest.mark.parametrize('command, options, predict, settings', [
    ('knn', ['--k', '3'], knn_predict, dict(k=3)), ('linear', [], linear_probe_predict, {})])
@pytest.mark.parametrize('weights', ['teacher', 'student'])
def test_accuracy(toy, saved, labelled, tmp_path, capsys, command, options, predict, settings,
                  weights) -> None:
    main([command, str(toy.out), '--data', str(labelled), '--weights', weights, '--workers', '0',
          '--json', str(tmp_path / 'new' / 'out.json'), *options])
    backbone = saved.backbone if weights == 'student' else saved.teacher.backbone
    top1 = expected(predict, features_by_hand(backbone, labelled), **settings)
    result = json.loads((tmp_path / 'new' / 'out.json').read_text())
    assert result['top1'] == pytest.approx(top1)
    assert result['standard_error'] == pytest.approx((top1 * (1 - top1) / 4)**0.5)
    # every fifth of ten images in two classes
    assert (result['num_images'], result['num_reference'], result['num_classes']) == (4, 16, 2)
    assert f'top-1: {top1:.2%}' in capsys.readouterr().out


def test_embed_npz(toy, saved, labelled, tmp_path, capsys) -> None:
    out = tmp_path / 'new' / 'features.npz'
    options = ['embed', str(toy.out / 'epoch_2.pth'), '--data', str(labelled), '--out', str(out),
               '--batch-size', '3', '--workers', '0']
    main(options)
    assert 'wrote' in capsys.readouterr().out
    content = np.load(out)
    assert content['features'].shape == (20, 24) and content['features'].dtype == np.float32
    assert content['paths'][0] == 'bright/0.png' and len(set(content['paths'])) == 20
    assert list(content['labels']) == ['bright'] * 10 + ['dark'] * 10
    assert content['weights'] == 'teacher'
    assert list(out.parent.iterdir()) == [out]

    by_hand = [part.numpy() for part, _ in features_by_hand(saved.teacher.backbone, labelled)]
    ours = sorted(content['features'].tolist())
    np.testing.assert_allclose(ours, sorted(np.concatenate(by_hand).tolist()), atol=1e-5)


def test_embed_parquet_leaves_out_what_cannot_be_read(toy, tmp_path, capsys) -> None:
    parquet = pytest.importorskip('pyarrow.parquet')
    photos = tmp_path / 'photos'
    photos.mkdir()
    for i in range(4):
        (photos / f'{i}.png').write_bytes((toy.photos / 'sub' / f'{i}.png').read_bytes())
    (photos / '1.png').write_bytes(b'no image')
    out = tmp_path / 'features.parquet'
    main(['embed', str(toy.out), '--data', str(photos), '--out', str(out), '--batch-size', '2',
          '--workers', '0'])
    printed = capsys.readouterr().out
    assert '3 images x 24 features' in printed
    assert 'left out 1 that cannot be read:\n  1.png: not an image' in printed
    table = parquet.read_table(out)
    assert table['path'].to_pylist() == ['0.png', '2.png', '3.png']
    assert table.column_names == ['path', 'features']  # nothing says what these show
    assert table.schema.metadata[b'img_size'] == b'32'

    main(['embed', str(toy.out), '--data', str(photos), '--out', str(tmp_path / 'f.npz'),
          '--workers', '0'])
    np.testing.assert_allclose(np.array(table['features'].to_pylist()),
                               np.load(tmp_path / 'f.npz')['features'], atol=1e-6)


def test_labels_below_train_and_val(labelled, tmp_path) -> None:
    for part in ('train', 'val'):
        (tmp_path / part).mkdir()
        for name in ('bright', 'dark'):
            (tmp_path / part / name).symlink_to(labelled / name)
    paths = ['train/dark/0.png', 'val/bright/sub/1.png', 'other/dark/2.png', 'train/3.png']
    assert read_labels(tmp_path, paths) == ['dark', 'bright', '', '']


def test_row_groups_are_written_as_they_fill(tmp_path, monkeypatch) -> None:
    parquet = pytest.importorskip('pyarrow.parquet')
    from conmim_mm.apis import embed

    monkeypatch.setattr(embed, 'ROWS', 4)
    rows = np.arange(14, dtype=np.float32).reshape(7, 2)
    with embed.open_feature_file(tmp_path / 'f.parquet', 2, True, {}) as file:
        for i in range(0, 7, 2):
            part = rows[i:i + 2]
            file.add(part, [f'{i}'] * len(part), ['x'] * len(part))
    read = parquet.ParquetFile(tmp_path / 'f.parquet')
    assert [read.metadata.row_group(i).num_rows for i in range(read.num_row_groups)] == [4, 3]
    assert read.read()['features'].to_pylist() == rows.tolist()


def test_an_interrupted_file_leaves_the_old_one(tmp_path) -> None:
    from conmim_mm.apis.embed import open_feature_file

    path = tmp_path / 'f.npz'
    path.write_text('old')
    with pytest.raises(KeyboardInterrupt), open_feature_file(path, 2, False, {}) as file:
        file.add(np.zeros((1, 2), np.float32), ['a'], None)
        raise KeyboardInterrupt
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]


def test_another_image_size_resizes_the_tables(toy, saved) -> None:
    backbone = load_backbone(last_checkpoint(toy.out), 'student', img_size=48)
    assert backbone.grid == (6, 6)
    assert not backbone.training
    own = backbone.blocks[0].mlp.fc1.weight
    torch.testing.assert_close(own, saved.backbone.blocks[0].mlp.fc1.weight)


def test_bad_input_gets_one_line(toy, labelled, tmp_path, fails, monkeypatch) -> None:
    knn = ['knn', toy.out, '--workers', 0, '--data']
    assert 'no such folder: /no/such' in fails(*knn, '/no/such')
    assert 'no labels in' in fails(*knn, toy.photos)
    assert 'not divisible by' in fails(*knn, labelled, '--img-size', 30)
    assert 'no such checkpoint' in fails('knn', '/no/such.pth', '--data', labelled)
    assert 'there is no checkpoint in' in fails('linear', tmp_path, '--data', labelled)

    def embed(out: str, *options: object, data=toy.photos) -> str:
        return fails('embed', toy.out, '--data', data, '--out', tmp_path / out, '--workers', 0,
                     *options)

    assert 'must end in .npz or .parquet' in embed('f.csv')
    (tmp_path / 'f.npz').touch()
    assert 'exists already: add --overwrite' in embed('f.npz')
    (tmp_path / 'bad').mkdir()
    assert 'no images in' in embed('new.npz', data=tmp_path / 'bad')
    (tmp_path / 'bad' / 'a.png').write_text('no image')
    assert 'none of the 1 images in' in embed('new.npz', data=tmp_path / 'bad')
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    assert 'pip install pyarrow' in embed('new.parquet')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['bad', 'f.npz']


def test_places_that_cannot_be_written(toy, labelled, tmp_path, fails, monkeypatch) -> None:
    """They are refused before the checkpoint is read."""
    (tmp_path / 'file').touch()
    for command in ('knn', 'linear'):
        line = fails(command, '/no/such.pth', '--data', labelled, '--json', tmp_path)
        assert line == f'error: cannot write {tmp_path}: it is a folder'
    for words in (['embed', '/no/such.pth', '--data', labelled, '--out'],
                  ['export', '/no/such.pth', '--format', 'mmpretrain'],
                  ['export', '/no/such.pth', '--format', 'timm']):
        path = tmp_path / 'file' / ('x.npz' if words[0] == 'embed' else 'x.pth')
        line = fails(*words, path)
        assert line == f'error: cannot write {path}: Not a directory'

    # what is seen only when it is written
    from conmim_mm.apis.embed import open_feature_file

    path = tmp_path / 'file' / 'x.npz'
    with pytest.raises(InputError, match=f'cannot write {path}: '), \
            open_feature_file(path, 2, False, {}):
        pass


def test_workers_by_the_cores_of_this_process(monkeypatch) -> None:
    monkeypatch.setattr(frozen_backbone, 'usable_cores', lambda: 3)
    assert frozen_backbone.num_workers(SimpleNamespace(workers=None)) == 3
    assert frozen_backbone.num_workers(SimpleNamespace(workers=0)) == 0


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
    normalised = frozen_backbone.preprocessor_of(dict(meta=meta))(dict(inputs=levels))['inputs']
    by_hand = [(levels[:, c] - mean[c]) / std[c] for c in range(3)]
    torch.testing.assert_close(normalised, torch.stack(by_hand, dim=1))
