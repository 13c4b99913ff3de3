"""Oblong images through the commands: pre-training, judging, embedding, export."""

import json
from pathlib import Path

import numpy as np
import pytest

from conmim_mm.commands import main
from conmim_mm.commands.arguments import parse_arguments
from conmim_mm.formats.source import read_source
from conmim_mm.utils.run_config import read_config

from ..labelled import write_labelled_maps


@pytest.fixture(scope='module')
def run(toy, labelled, tmp_path_factory) -> Path:
    """Of views that are 16 high and 40 wide, which an evaluation sees so too."""
    out = tmp_path_factory.mktemp('oblong') / 'run'
    main(['pretrain', *toy.options, '--epochs', '1', '--img-size', '16', '40', '--out', str(out),
          '--eval-data', str(labelled)])
    return out


def test_views_are_oblong(run) -> None:
    cfg = read_config(str(run / 'config.py'))
    _, views, mask, _ = cfg.train_dataloader.dataset.pipeline
    assert views['size'] == mask['img_size'] == cfg.model.backbone.img_size == (16, 40)
    assert cfg.val_dataloader.dataset['size'] == (16, 40)
    assert views.ratio == (1.875, 3.3333)  # 3/4 and 4/3 of the views' own
    assert 'views of 16 x 40 pixels' in (run / 'config.py').read_text()
    assert read_source(run).sizes.grid == (2, 5)
    assert (run / 'report.html').is_file()


@pytest.mark.parametrize('command', ['knn', 'linear'])
@pytest.mark.parametrize('task', ['classification', 'segmentation'])
def test_judged(run, labelled, tmp_path, command, task) -> None:
    data = labelled if task == 'classification' else write_labelled_maps(tmp_path / 'maps')
    sizes = [([16, 40], []), (32, ['--img-size', '32']), ([40, 16], ['--img-size', '40', '16'])]
    for size, words in sizes[:3 if command == 'knn' else 1]:
        main([command, str(run), '--data', str(data), '--task', task, '--workers', '0', '--json',
              str(tmp_path / 'out.json'), '--overwrite', *words])
        assert json.loads((tmp_path / 'out.json').read_text())['img_size'] == size


def test_compared_and_embedded(run, toy, labelled, tmp_path) -> None:
    main(['compare', str(run), str(toy.out), 'random:', '--data', str(labelled), '--workers', '0',
          '--json', str(tmp_path / 'out.json')])
    assert len(json.loads((tmp_path / 'out.json').read_text())['scores']) == 3
    main(['embed', str(run), '--data', str(labelled), '--out', str(tmp_path / 'a.npz'),
          '--workers', '0'])
    with np.load(tmp_path / 'a.npz') as file:
        assert str(file['img_size']) == '(16, 40)' and len(file['features']) == 30


def test_goes_on_and_starts_another(run, toy, tmp_path, capsys, fails) -> None:
    again = ['pretrain', '--resume', '--out', str(run), '--img-size']
    main([*again, '16', '40'])
    assert 'is finished' in capsys.readouterr().out
    assert '--img-size 16 40, not 40 16' in fails(*again, 40, 16)
    main(['pretrain', '--data', str(toy.photos), '--init', str(run), '--config', str(toy.config),
          '--img-size', '32', '24', '--epochs', '1', '--batch-size', '4', '--out',
          str(tmp_path / 'new')])
    assert read_source(tmp_path / 'new').sizes.grid == (4, 3)


@pytest.mark.parametrize('words', [
    ['--img-size', '16', '40'], ['--img-size', '16x40'], ['--img-size=16', '40'],
    ['--img', '16', '40']])
def test_a_path_may_come_behind_the_sizes(words) -> None:
    for path in 'run', '2024':
        args = parse_arguments(['knn', *words, path, '--data', 'images'])
        assert (args.img_size, str(args.checkpoint)) == ((16, 40), path)
    assert parse_arguments(['embed', '--img-size', '8', 'run', '--data', 'a', '--out', 'b.npz']
                           ).img_size == 8


def test_a_graph(run, tmp_path) -> None:
    import onnxruntime

    path = tmp_path / 'mean.onnx'
    main(['export', str(run), str(path), '--format', 'onnx', '--img-size', '40', '24'])
    assert onnxruntime.InferenceSession(path).get_inputs()[0].shape[2:] == [40, 24]


@pytest.mark.parametrize(('words', 'reason'), [
    (['16', '40', '3'], 'unrecognized arguments: 3'), (['16x40x3'], 'or HEIGHT WIDTH, but is'),
    (['16x'], "must be N, the side of a square, or HEIGHT WIDTH, but is '16x'"),
    (['0'], 'must be at least 1'), (['16x0'], 'must be at least 1'),
    (['16', '30'], 'img_size=16x30 (height x width) is not divisible by patch_size=8')])
def test_no_sizes(run, labelled, fails, words, reason) -> None:
    assert reason in fails('knn', run, '--data', labelled, '--workers', 0, '--img-size', *words)
