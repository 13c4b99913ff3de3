import pytest
import torch

from conmim_mm.utils.sizes import batch_size_of, spread_indices


@pytest.mark.parametrize('batch, expected', [
    (dict(inputs=torch.zeros(5, 3)), 5),
    (dict(data_samples=[1, 2], inputs=[torch.zeros(3, 8, 8)] * 3), 3),
    (dict(views=dict(one=torch.zeros(2, 3))), 2),
    ({}, 0),
    (None, 0),
])
def test_batch_length(batch: object, expected: int) -> None:
    assert batch_size_of(batch) == expected


@pytest.mark.parametrize(('length', 'indices'), [(0, []), (1, [0]), (2, [0, 1]), (9, [0, 4, 8])])
def test_indices_are_spread(length: int, indices: list[int]) -> None:
    assert spread_indices(length, 3) == indices
