"""tools/benchmarks/bench_shards.py, as typed."""

import json
from pathlib import Path

import bench_shards as tool
import pytest

from ..shards import shard_tree
from ..toy import write_noise_images


@pytest.mark.parametrize('options', [[], ['--cold']])
def test_it_measures_what_it_says(tmp_path: Path, run_script, monkeypatch, capsys,
                                  options: list) -> None:
    (tmp_path / 'tree').mkdir()
    write_noise_images(tmp_path / 'tree', count=6, side=40)
    shards = shard_tree(tmp_path / 'tree', tmp_path / 'shards', per_shard=2)
    forgotten = []
    monkeypatch.setattr(tool, 'drop_page_cache', forgotten.append)
    run_script(tool, tmp_path / 'tree', shards, '--rounds', 1, '--batch', 2, '--json', *options)
    rates = json.loads(capsys.readouterr().out)['images_per_second']
    assert list(rates) == ['folder, random order', 'shards, random order',
                           'shards, one after another']
    assert all(rate > 0 for rate in rates.values())
    tree = {str(tmp_path / 'tree' / f'{i}.png') for i in range(6)}
    tars = {str(shards / f'{i}.tar') for i in range(3)}
    assert forgotten == [tree, tars, tars] * 2 * bool(options)


def test_one_line_for_bad_input(tmp_path: Path, refused) -> None:
    assert refused(tool, tmp_path, tmp_path).startswith(f'error: no images in {tmp_path}')
