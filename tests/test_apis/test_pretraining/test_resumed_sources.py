"""A run goes on with its images in other places, or with other kinds of sources."""

import json
from pathlib import Path

import pytest

from conmim_mm.apis.pretraining import start
from conmim_mm.apis.pretraining.sources import SOURCE_OPTIONS
from conmim_mm.commands import main
from conmim_mm.utils.run_config import read_config

from ...shards import shard_tree
from ...toy import write_noise_images

PLACES = ('type', 'data_root', 'data_prefix', 'ann_file', 'shards')


@pytest.fixture
def folders(tmp_path, monkeypatch) -> Path:
    """``a`` with five images, ``b`` with train and val, a list of those, and shards of ``a``."""
    for name, count in (('a', 5), ('b/train', 5), ('b/val', 1)):
        (tmp_path / name).mkdir(parents=True)
        write_noise_images(tmp_path / name, count, side=40)
    (tmp_path / 'b' / 'list.txt').write_text(''.join(f'train/{i}.png {i}\n' for i in range(4)))
    shard_tree(tmp_path / 'a', tmp_path / 'tars', per_shard=3)
    shard_tree(tmp_path / 'b' / 'val', tmp_path / 'more', per_shard=3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def begin(folders, toy):
    """Trains an epoch; gives how to go on, but for the options."""

    def call(*words: str) -> list[str]:
        main(['pretrain', '--config', str(toy.config), '--batch-size', '2', '--epochs', '1', *words,
              '--out', 'run'])
        return ['pretrain', '--resume', '--out', 'run', '--epochs', '2']

    return call


def go_on(words: list[str], monkeypatch) -> tuple[dict, dict]:
    """What the config reads then, and the options of sources in it."""
    with monkeypatch.context() as patched:
        patched.setattr(start, 'run_training', lambda cfg, **_: None)
        main(words)
    cfg = read_config('run/config.py').to_dict()
    return tuple(_below_here({key: part[key] for key in keys if part.get(key)}) for part, keys in (
        (cfg['train_dataloader']['dataset'], PLACES), (cfg['started_with'], SOURCE_OPTIONS)))


def _below_here(settings: dict) -> dict:
    return json.loads(json.dumps(settings).replace(f'{Path.cwd()}/', ''))


FILES = dict(type='ImageFiles')


@pytest.mark.parametrize(('first', 'moves', 'then', 'reads', 'options'), [
    ('--list b/list.txt', 'b c', '--data c', dict(data_root='c', ann_file='c/list.txt'),
     dict(data='c', list_file='c/list.txt')),
    ('--list b/list.txt', 'b/train c/train', '--data c',
     dict(data_root='c', ann_file='b/list.txt'), dict(data='c', list_file='b/list.txt')),
    ('--list b/list.txt', 'b c', '--list c/list.txt', dict(data_root='c', ann_file='c/list.txt'),
     dict(list_file='c/list.txt')),
    ('--list b/list.txt --data b', 'b/list.txt l', '--list l', dict(data_root='b', ann_file='l'),
     dict(data='b', list_file='l')),
    ('--list b/list.txt --data b', 'b c', '--list c/list.txt',
     dict(data_root='c', ann_file='c/list.txt'), dict(list_file='c/list.txt')),
    ('--data a b', 'b elsewhere/d', '--data a elsewhere/d',
     dict(data_root=['a', 'elsewhere/d/train']), dict(data=['a', 'elsewhere/d'])),
    ('--shards tars/*.tar', 'tars x', '--shards x/{0..1}.tar',
     dict(type='TarShards', shards=['x/{0..1}.tar']), dict(shards='x/{0..1}.tar')),
    ('--shards tars/0.tar more/*.tar', 'more x', '--shards tars/0.tar x/*.tar',
     dict(type='TarShards', shards=['tars/0.tar', 'x/*.tar']),
     dict(shards=['tars/0.tar', 'x/*.tar']))])
def test_the_same_images_elsewhere(folders, begin, monkeypatch, fails, first, moves, then, reads,
                                   options) -> None:
    again = begin(*first.split())
    old, new = moves.split()
    (folders / new).parent.mkdir(exist_ok=True)
    (folders / old).rename(folders / new)
    line = fails(*again)
    assert 'no longer' in line or 'the shards are not where they were' in line
    assert go_on([*again, *then.split()], monkeypatch) == (FILES | reads, options)


@pytest.mark.parametrize(('first', 'then', 'reads', 'reason'), [
    ('--data a', '--list b/list.txt', dict(data_root='b', ann_file='b/list.txt'),
     '--list {root}/b/list.txt in place of --data {root}/a, images in the data set: 5'),
    ('--data a', '--shards tars/*.tar', dict(type='TarShards', shards=['tars/*.tar']),
     '--shards {root}/tars/*.tar in place of --data {root}/a, check sum'),
    ('--data a', '--data b a', dict(data_root=['b/train', 'a']), 'images in the data set: 5 in'),
    ('--list b/list.txt', '--data b', dict(data_root='b', data_prefix='train'), ''),
    ('--list b/list.txt', '--shards tars/*.tar', dict(type='TarShards', shards=['tars/*.tar']),
     '--shards {root}/tars/*.tar in place of --list {root}/b/list.txt'),
    ('--shards tars/*.tar', '--data b', dict(data_root='b', data_prefix='train'),
     '--data {root}/b in place of --shards {root}/tars/*.tar'),
    ('--shards tars/*.tar', '--list b/list.txt --data b',
     dict(data_root='b', ann_file='b/list.txt'),
     '--data {root}/b --list {root}/b/list.txt in place of --shards')])
def test_another_kind_is_another_run_but_may_go_on(folders, begin, monkeypatch, fails, capsys,
                                                   first, then, reads, reason) -> None:
    again = [*begin(*first.split()), *then.split()]
    if reason:
        assert reason.format(root=folders) in fails(*again)
    capsys.readouterr()
    found, options = go_on([*again, '--allow-mismatch'], monkeypatch)
    assert found == FILES | reads and set(options) == {
        dict(data='data', list='list_file', shards='shards')[word.split()[0]]
        for word in then.split('--')[1:]}
    assert ' in place of --' in capsys.readouterr().out or first.startswith('--data') and (
        then.startswith('--data'))


def test_a_folder_goes_on_as_tar_files_and_back(folders, begin) -> None:
    again = begin('--data', 'a')[:-1]
    main([*again, '2', '--shards', 'tars/*.tar', '--allow-mismatch'])
    main([*again, '3'])
    main([*again, '4', '--data', 'a', '--allow-mismatch'])
    assert (folders / 'run' / 'epoch_4.pth').is_file()


@pytest.mark.parametrize(('first', 'then', 'reason'), [
    ('--data a', '--data .', '--out {root}/run lies inside --data {root}'),
    ('--data a b', '--data b a c', 'no such folder: c'),
    ('--list b/list.txt', '--data a', 'the images of the list {root}/b/list.txt are no longer '
     'below {root}/a: give --data with the folder that its paths count from now')])
def test_what_it_cannot_go_on_with(folders, begin, fails, first, then, reason) -> None:
    again = begin(*first.split())
    assert reason.format(root=folders) in fails(*again, *then.split())


def test_a_list_of_the_config_stays(folders, toy, monkeypatch, fails) -> None:
    config = folders / 'own.py'
    config.write_text(f"_base_ = '{toy.config}'\n"
                      "train_dataloader = dict(dataset=dict(ann_file='list.txt'))\n")
    words = ['pretrain', '--config', str(config), '--batch-size', '2', '--epochs', '1', '--out',
             'run', '--data', 'b']
    assert 'own.py reads the list list.txt: give one --data' in fails(*words, 'a')
    main(words)
    (folders / 'b').rename(folders / 'c')
    again = ['pretrain', '--resume', '--out', 'run', '--epochs', '2', '--data', 'c']
    assert go_on(again, monkeypatch) == (
        FILES | dict(data_root='c', ann_file='list.txt'), dict(data='c'))
