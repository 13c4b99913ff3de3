import math

import pytest
import token_spread as tool
import torch

from ..conftest import CONFIGS

CONFIG = CONFIGS / 'conmim' / 'vit-tiny_1xb32_scenes-64px.py'


def test_hand_computed() -> None:
    # mean (3, 0), lengths 5 and 5; differ along the second axis only
    spread = tool.token_spread(torch.tensor([[3., 4.], [3., -4.]]))
    assert spread == pytest.approx((3 / 5, 1.))


def test_rank_of_unequal_directions() -> None:
    # variances 4 and 1: shares 0.8 and 0.2
    spread = tool.token_spread(torch.tensor([[2., 0.], [-2., 0.], [0., 1.], [0., -1.]]))
    assert spread == pytest.approx((0., math.exp(-0.8 * math.log(0.8) - 0.2 * math.log(0.2))))


def test_tool_tells_every_block(run_script, scenes, capsys) -> None:
    run_script(tool, CONFIG, scenes / 'imagenet' / 'train', '--limit', 8)
    rows = [list(map(float, line.split())) for line in capsys.readouterr().out.splitlines()[-4:]]
    assert [row[0] for row in rows] == [1, 2, 3, 4]
    assert all(0 <= shared <= 1 and 1 <= rank <= 128 for _, shared, rank in rows)


def test_tool_without_images(refused, tmp_path) -> None:
    assert refused(tool, CONFIG, tmp_path / 'none').startswith('error: no such folder')
