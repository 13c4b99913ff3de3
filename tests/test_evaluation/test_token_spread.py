import math
import sys

import pytest
import torch
from scenes import SceneSettings, make_scenes

from ..conftest import CONFIGS, load_tool


def measure_spread(tokens: torch.Tensor) -> tuple[float, float]:
    return load_tool('benchmarks/token_spread.py').token_spread(tokens)


def test_hand_computed() -> None:
    # mean (3, 0), lengths 5 and 5; differ along the second axis only
    spread = measure_spread(torch.tensor([[3., 4.], [3., -4.]]))
    assert spread == pytest.approx((3 / 5, 1.))


def test_rank_of_unequal_directions() -> None:
    # variances 4 and 1: shares 0.8 and 0.2
    spread = measure_spread(torch.tensor([[2., 0.], [-2., 0.], [0., 1.], [0., -1.]]))
    assert spread == pytest.approx((0., math.exp(-0.8 * math.log(0.8) - 0.2 * math.log(0.2))))


def test_tool_tells_every_block(monkeypatch, tmp_path, capsys) -> None:
    make_scenes(tmp_path / 'scenes', SceneSettings(images=20, size=64, val=10))
    tool = load_tool('benchmarks/token_spread.py')
    monkeypatch.setattr(sys, 'argv', [
        'token_spread.py', str(CONFIGS / 'conmim/vit-tiny_1xb32_scenes-64px.py'),
        str(tmp_path / 'scenes/imagenet/train'), '--limit', '8'])
    tool.run_tool(tool.main)
    rows = [list(map(float, line.split())) for line in capsys.readouterr().out.splitlines()[-4:]]
    assert [row[0] for row in rows] == [1, 2, 3, 4]
    assert all(0 <= shared <= 1 and 1 <= rank <= 128 for _, shared, rank in rows)


def test_tool_without_images(monkeypatch, tmp_path, capsys) -> None:
    tool = load_tool('benchmarks/token_spread.py')
    monkeypatch.setattr(sys, 'argv', [
        'token_spread.py', str(CONFIGS / 'conmim/vit-tiny_1xb32_scenes-64px.py'),
        str(tmp_path / 'none')])
    with pytest.raises(SystemExit) as stop:
        tool.run_tool(tool.main)
    assert stop.value.code == 2
    assert 'error: no such folder' in capsys.readouterr().err
