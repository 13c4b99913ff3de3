"""tools/dataset_converters/make_shards.py, as typed."""

import sys
from pathlib import Path

import pytest

from conmim_mm.datasets import ImageFiles, LoadRGBImage, TarShards
from conmim_mm.utils.cli import run_tool

from ..conftest import load_tool
from ..toy import write_noise_images

tool = load_tool('dataset_converters/make_shards.py')


def run(monkeypatch: pytest.MonkeyPatch, *args: object) -> None:
    monkeypatch.setattr(sys, 'argv', ['make_shards.py', *map(str, args)])
    run_tool(tool.main)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ('cat', 'dog'):
        (tmp_path / 'tree' / name).mkdir(parents=True)
        write_noise_images(tmp_path / 'tree' / name, count=4, side=8)
    return tmp_path / 'tree'


def test_shards_of_a_tree(tree: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    run(monkeypatch, tree, tmp_path / 'out', '--images-per-shard', 3, '--workers', 1)
    assert capsys.readouterr().out == (
        f'{tmp_path}/out: 8 images of 2 classes, images-000000.tar to images-000002.tar\n')
    options = dict(with_label=True, pipeline=[LoadRGBImage()])
    expected = {sample['img_path'].removeprefix(f'{tree}/'): (sample['gt_label'],
                                                              sample['img'].tobytes())
                for sample in ImageFiles(data_root=str(tree), **options)}
    found = {sample['img_path'].split('.tar/')[1]: (sample['gt_label'], sample['img'].tobytes())
             for sample in TarShards(
                 shards='images-{000000..000002}.tar', data_root=str(tmp_path / 'out'), **options)}
    assert found == expected and len(found) == 8


def test_shards_of_a_list(tree: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / 'list.txt').write_text('cat/0.png\ndog/3.png\n')
    run(monkeypatch, tree, tmp_path / 'out', '--list', tmp_path / 'list.txt')
    assert capsys.readouterr().out == (
        f'{tmp_path}/out: 2 images, images-000000.tar to images-000000.tar\n')


@pytest.mark.parametrize('args, words', [
    (['tree', 'tree'], 'is there already'), (['nowhere', 'out'], 'no such folder'),
    (['tree', 'out', '--list', 'none.txt'], 'no such list file'),
    (['tree', 'out', '--images-per-shard', '0'], 'images_per_shard must be at least 1')])
def test_one_line_for_bad_input(tree: Path, tmp_path: Path, monkeypatch, capsys, args: list[str],
                                words: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *args)
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(lines) == 1
    assert lines[0].startswith('error: ') and words in lines[0]
    assert not (tmp_path / 'out').exists()
