"""What the sub-commands print and refuse; what they do is tested with conmim_mm.apis."""

import json
import sys

import pytest
import torch

from conmim_mm.apis import run_report
from conmim_mm.commands import main
from conmim_mm.datasets.labelled_folder import labelled_datasets, labelled_split
from conmim_mm.evaluation import extract_features, knn_predict, linear_probe_predict
from conmim_mm.models.data_preprocessors.conmim_data_preprocessor import ConMIMDataPreprocessor
from conmim_mm.utils.work_dir import last_checkpoint

from ..toy import saved_model


def test_other_libraries(toy, tmp_path, capsys) -> None:
    main(['export', str(toy.out), str(tmp_path / 'student.pth'), '--format', 'mmpretrain',
          '--weights', 'student'])
    assert torch.load(tmp_path / 'student.pth')['meta']['weights'] == 'student'
    main(['export', str(toy.out), str(tmp_path / 'out.pth'), '--format', 'timm'])
    assert capsys.readouterr().out.splitlines()[-1].startswith('import timm; model = timm.create')


def test_report(toy, tmp_path, capsys, fails, monkeypatch) -> None:
    monkeypatch.setattr(run_report, 'build_report', lambda work_dir: work_dir / 'report.html')
    main(['report', str(toy.out)])
    assert capsys.readouterr().out == f'wrote {toy.out}/report.html\n'
    assert 'no such folder' in fails('report', tmp_path / 'none')
    assert 'there is no run in' in fails('report', tmp_path)


def features_by_hand(backbone, labelled):
    """Features and labels of both parts."""
    return [extract_features(backbone, part, ConMIMDataPreprocessor(), num_workers=0)
            for part in labelled_datasets(labelled_split(str(labelled)), 32)]


def expected(predict, parts, **settings) -> float:
    (features, labels), (held_out, truth) = parts
    predicted = predict(features, labels, held_out, **settings)
    return (predicted == truth).float().mean().item()


@pytest.mark.parametrize('command, options, predict, settings', [
    ('knn', ['--k', '3'], knn_predict, dict(k=3)), ('linear', [], linear_probe_predict, {})])
@pytest.mark.parametrize('weights', ['teacher', 'student'])
def test_accuracy(toy, labelled, tmp_path, capsys, command, options, predict, settings,
                  weights) -> None:
    main([command, str(toy.out), '--data', str(labelled), '--weights', weights, '--workers', '0',
          '--json', str(tmp_path / 'new' / 'out.json'), *options])
    saved = saved_model(toy.out)
    backbone = saved.backbone if weights == 'student' else saved.teacher.backbone
    top1 = expected(predict, features_by_hand(backbone, labelled), **settings)
    result = json.loads((tmp_path / 'new' / 'out.json').read_text())
    assert result['top1'] == pytest.approx(top1)
    assert result['standard_error'] == pytest.approx((top1 * (1 - top1) / 6)**0.5)
    # every fifth of ten images in three classes
    assert (result['num_images'], result['num_reference'], result['num_classes']) == (6, 24, 3)
    assert f'top-1: {top1:.2%}' in capsys.readouterr().out


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


def test_a_warning_is_a_line(toy, tmp_path, capsys) -> None:
    checkpoint = torch.load(last_checkpoint(toy.out), weights_only=False)
    checkpoint['meta']['settings'] = dict(model=dict(backbone=dict(window_blocks=[0, 1])))
    torch.save(checkpoint, tmp_path / 'windows.pth')
    main(['export', str(tmp_path / 'windows.pth'), str(tmp_path / 'out.pth'), '--format', 'timm'])
    assert capsys.readouterr().err.startswith('warning: this backbone was trained with attention')
