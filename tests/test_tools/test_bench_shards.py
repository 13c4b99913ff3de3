"""tools/benchmarks/bench_shards.py, as typed."""

import json
import sys
from pathlib import Path

import pytest

from conmim_mm.utils.cli import run_tool

from ..conftest import load_tool
from ..shards import shard_tree
from ..toy import write_noise_images

tool = load_tool('benchmarks/bench_shards.py')


@pytest.mark.parametrize('options', [[], ['--cold']])
def test_it_measures_what_it_says(tmp_path: Path, monkeypatch, capsys, options: list) -> None:
    (tmp_path / 'tree').mkdir()
    write_noise_images(tmp_path / 'tree', count=6, side=40)
    shards = shard_tree(tmp_path / 'tree', tmp_path / 'shards', per_shard=2)
    forgotten = []
    monkeypatch.setattr(tool, 'drop_page_cache', forgotten.append)
    monkeypatch.setattr(sys, 'argv', [
        'bench_shards.py', str(tmp_path / 'tree'), str(shards), '--rounds', '1', '--batch', '2',
        '--json', *options])
    run_tool(tool.main)
    rates = json.loads(capsys.readouterr().out)['images_per_second']
    assert list(rates) == ['folder, random order', 'shards, random order',
                           'shards, one after another']
    assert all(rate > 0 for rate in rates.values())
    tree = {str(tmp_path / 'tree' / f'{i}.png') for i in range(6)}
    tars = {str(shards / f'{i}.tar') for i in range(3)}
    assert forgotten == [tree, tars, tars] * 2 * bool(options)


def test_one_line_for_bad_input(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, 'argv', ['bench_shards.py', str(tmp_path), str(tmp_path)])
    with pytest.raises(SystemExit):
        run_tool(tool.main)
    assert capsys.readouterr().err.startswith(f'error: no images in {tmp_path}')
