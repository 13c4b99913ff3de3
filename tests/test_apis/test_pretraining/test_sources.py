"""Where images come from: folders, patterns for them, a list, tar shards."""

import json
import os
from pathlib import Path

import pytest
from mmengine.config import Config

from conmim_mm.apis.pretraining import start
from conmim_mm.apis.pretraining.sources import (
    Sources,
    find_sources,
    set_training_images,
    why_missing,
)
from conmim_mm.commands import main
from conmim_mm.errors import InputError
from conmim_mm.utils.run_config import read_config

from ...shards import shard_tree
from ...toy import write_noise_images


@pytest.fixture
def folders(tmp_path, monkeypatch) -> Path:
    """``a`` and ``b/train`` with five images each, ``b/val`` with one, and a list of four."""
    for name, count in (('a', 5), ('b/train', 5), ('b/val', 1)):
        (tmp_path / name).mkdir(parents=True)
        write_noise_images(tmp_path / name, count, side=40)
    (tmp_path / 'list.csv').write_text('label,path\n0,a/0.png\n1,a/3.png\n2,b/val/0.png\n'
                                       '2,b/train/4.png\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_patterns_and_folders(folders) -> None:
    assert find_sources('a').as_options() == dict(data=f'{folders}/a')
    found = find_sources(['b', '[ab]', 'b'])
    assert found.folders == (folders / 'b', folders / 'a')
    assert found.repeated == f'{folders}/b, taken once' and not find_sources('a').repeated
    (folders / 'x[1]').mkdir()
    assert find_sources('x[1]').folders == (folders / 'x[1]', )
    assert not find_sources() and find_sources().as_options() == {}


@pytest.mark.parametrize(('sources', 'name'), [
    (Sources((Path('/x/a'), )), 'a'), (Sources((Path('/x/a'), Path('/y'))), 'a-and-1-more'),
    (Sources((Path('/x'), ), Path('/y/l.csv')), 'l'),
    (Sources(shards=('/x/set/i-{0..9}.tar', '/z/*.tar')), 'set')])
def test_the_name_of_a_run(sources: Sources, name: str) -> None:
    assert sources.name == name


@pytest.mark.parametrize(('words', 'reason'), [
    (['--data', 'a', 'gone'], '--data: no such folder: gone'),
    (['--data', 'list.csv'], 'no such folder: list.csv; --list takes a list file, --shards tar'),
    (['--data', 'a/c*'], '--data: the pattern a/c* fits nothing: give folders'),
    (['--data', 'a/*'], 'the pattern a/* fits 5 files, but no folder'),
    (['--list', 'gone.txt'], '--list: no such file: gone.txt'),
    (['--list', 'list.csv', '--data', 'a'], 'list.csv, line 2: no such image'),
    (['--list', 'list.csv', '--data', 'a', 'b'], 'give --list with one --data at most'),
    (['--data', 'a', '--shards', 'x.tar'], 'give --shards or --data: a run reads either'),
    (['--list', 'list.csv', '--shards', 'x.tar'], 'give --shards or --list'),
    (['--shards', 'x-{0..1}.tar'], 'no such shard: '),
    (['--data', 'a', 'b', '--out', 'b/train/run'], 'lies inside --data'),
    (['--data', 'e*'], 'the pattern e* fits no folder of images; 2 folders without images, such as '
     '{root}/e1 (1 .txt there)'),
    (['--list', 'names.txt'], 'names.txt, line 2: no such image: {root}/path label (the names of '
     'columns, and commas between them, are for a file named .csv)')])
def test_what_is_not_there(folders, toy, fails, words, reason) -> None:
    out = [] if '--out' in words else ['--out', 'run']
    for name in ('e1', 'e2'):
        (folders / name).mkdir()
    (folders / 'e1' / 'notes.txt').touch()
    (folders / 'names.txt').write_text('\npath label\na/0.png 1\n')
    line = fails('pretrain', '--config', toy.config, *words, *out)
    assert reason.replace('{root}', str(folders)) in line
    assert not list(folders.rglob('run'))


@pytest.mark.parametrize(('data', 'taken', 'left_out'), [
    ('*', ['a', 'b'], '2 folders without images, such as {root}/e (1 .txt there); 1 image beside '
     'the folders, such as {root}/loose.png'),
    ('b/*', ['b/train'], '1 folder to hold out beside a part to train on, such as {root}/b/val'),
    ('b/*/', ['b/train'], '1 folder to hold out beside a part to train on, such as {root}/b/val'),
    ('b/*/cat', ['b/train/cat'],
     '1 folder to hold out beside a part to train on, such as {root}/b/val/cat'),
    ('b/v*', ['b/val'], ''), (['b/train', 'b/val'], ['b/train', 'b/val'], ''),
    (['b/*', 'b/val'], ['b/train', 'b/val'], ''), (['*', '.'], ['a', 'b', ''],
     '2 folders without images, such as {root}/e (1 .txt there)')])
def test_what_patterns_fit_besides(folders, data, taken, left_out) -> None:
    for name in ('e', 'f/.thumbnails', 'b/train/cat', 'b/val/cat'):
        (folders / name).mkdir(parents=True)
    for name in ('e/notes.txt', 'f/.thumbnails/0.png', 'loose.png', 'b/train/cat/0.png',
                 'b/val/cat/0.png'):
        (folders / name).touch()
    found = find_sources(data)
    assert found.folders == tuple(folders / name for name in taken)
    assert found.left_out == left_out.format(root=folders)


def test_what_is_left_out_is_in_the_summary(folders, toy, started, capsys) -> None:
    (folders / 'empty').mkdir()
    (folders / 'b' / 'test').mkdir()
    (folders / 'a' / 'x.xcf').touch()
    main(['pretrain', '--config', str(toy.config), '--data', '*'])
    said = capsys.readouterr().out
    assert f'{folders}/b/train (test, val beside it are left out)\n' in said
    assert (f'left out       1 folder without images, such as {folders}/empty; 1 .xcf in '
            f'{folders}/a\n') in said


@pytest.fixture
def started(monkeypatch) -> list[Config]:
    """Configs of runs that would start."""
    found = []
    monkeypatch.setattr(start, 'run_training', lambda cfg, **_: found.append(cfg))
    return found


def test_several_folders(folders, toy, started, capsys, fails) -> None:
    os.symlink(folders / 'a' / '0.png', folders / 'b' / 'train' / 'again.png')
    main(['pretrain', '--config', str(toy.config), '--data', 'a', 'b'])
    said = capsys.readouterr().out
    assert (f'images         10 in {folders}/a, {folders}/b/train (val beside it is left out)\n'
            f'found again    1, taken once, such as {folders}/a/0.png and ') in said
    run = folders / 'runs' / 'toy-a-and-1-more'
    cfg = read_config(str(run / 'config.py'))
    assert cfg.train_dataloader.dataset.data_root == [f'{folders}/a', f'{folders}/b/train']
    assert cfg.started_with.data == [f'{folders}/a', f'{folders}/b'] and 'data_root' not in cfg

    # the same folders, elsewhere
    (folders / 'moved').mkdir()
    for name in 'ab':
        (folders / name).rename(folders / 'moved' / name)
    again = ['pretrain', '--resume', '--out', str(run)]
    assert f'no longer in {folders}/a: give --data' in fails(*again)
    (folders / 'moved' / 'b' / 'train' / 'again.png').unlink()
    main([*again, '--data', 'moved/a', 'moved/b'])
    assert started[-1].train_dataloader.dataset.data_root == [
        f'{folders}/moved/a', f'{folders}/moved/b/train']


def test_a_list(folders, toy, started, capsys) -> None:
    main(['pretrain', '--config', str(toy.config), '--list', 'list.csv', '--batch-size', '2'])
    assert f'images         4 in {folders}/list.csv, below {folders}\n' in capsys.readouterr().out
    dataset = started[0].train_dataloader.dataset
    assert (dataset.data_root, dataset.ann_file) == (f'{folders}', f'{folders}/list.csv')
    assert not why_missing(dataset)
    dataset.ann_file = 'gone.csv'
    assert why_missing(dataset).startswith(f'the list {folders}/gone.csv is no longer there')


def test_shards_train_on_the_same_images(folders, toy, capsys) -> None:
    """To the last bit: the order is that of the folder."""
    shard_tree(folders / 'a', folders / 'tars', per_shard=2)
    words = ['pretrain', '--config', str(toy.config), '--epochs', '1', '--batch-size', '2']
    main([*words, '--shards', 'tars/{0..2}.tar', '--out', 'of_tars'])
    said = capsys.readouterr().out
    assert f'images         5 in the shards {folders}/tars/{{0..2}}.tar\n' in said
    main([*words, '--data', 'a', '--out', 'of_files'])
    losses = [[line for line in file.read_text().splitlines() if '"loss"' in line]
              for name in ('of_tars', 'of_files')
              for file in (folders / name).rglob('scalars.json')]
    first, second = ([{key: value for key, value in json.loads(line).items() if key in (
        'loss', 'hit_rate')} for line in lines] for lines in losses)
    assert first == second and first
    main(['pretrain', '--resume', '--out', 'of_tars', '--epochs', '2'])
    assert (folders / 'of_tars' / 'epoch_2.pth').is_file()


def test_python_takes_them_too(folders, toy, started) -> None:
    with pytest.raises(InputError, match='give --data, .* or --list or --shards'):
        start.pretrain(out='run', config=toy.config)
    start.pretrain([folders / 'a', 'b'], 'run', config=toy.config)
    assert len(started[0].train_dataloader.dataset.data_root) == 2


@pytest.mark.parametrize(('kind', 'reason'), [
    ('TarShards', 'reads tar files: give --shards'),
    ('CustomDataset', 'reads CustomDataset, not a folder of images')])
def test_a_config_that_reads_something_else(kind: str, reason: str) -> None:
    cfg = Config(dict(train_dataloader=dict(dataset=dict(type=kind))))
    with pytest.raises(InputError, match=reason):
        set_training_images(cfg, Sources((Path('/x'), )))
