import math

import pytest
import torch

from conmim_mm.evaluation import effective_rank, mean_similarity


def test_hand_computed_similarity() -> None:
    across = torch.tensor([[1., 0.], [0., 5.]])  # the pairs: 1, 0, 0, 1
    alike = torch.tensor([[2., 2.], [7., 7.]])
    opposite = torch.tensor([[1., 2.], [-1., -2.]])  # 1, -1, -1, 1
    assert mean_similarity(across[None]) == pytest.approx(0.5)
    assert mean_similarity(alike[None]) == pytest.approx(1.)
    assert mean_similarity(opposite[None]) == pytest.approx(0.)
    # by image: tokens of different images are no pair
    assert mean_similarity(torch.stack([across, alike, -alike])) == pytest.approx(2.5 / 3)
    assert mean_similarity(across[None].bfloat16()) == pytest.approx(0.5)


def test_what_a_batch_norm_leaves_of_equal_tokens_is_alike() -> None:
    norm = torch.nn.BatchNorm1d(16, affine=False)
    equal = torch.full((64, 16), 0.3) + 1e-8 * torch.randn(64, 16)
    assert mean_similarity(norm(equal).view(4, 16, 16)) == 1.
    assert mean_similarity(norm(torch.randn(64, 16)).view(4, 16, 16)) < 0.2


def test_rank_of_known_matrices() -> None:
    assert effective_rank(torch.eye(5)) == pytest.approx(5.)
    assert effective_rank(torch.outer(torch.arange(1., 9.), torch.randn(5))) == pytest.approx(
        1., abs=1e-3)
    # singular values 3 and 1: shares of three quarters and one
    tokens = torch.tensor([[3., 0., 0.], [0., 0., 1.]])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(tokens) == pytest.approx(math.exp(entropy))
    assert effective_rank(tokens.view(1, 2, 3).bfloat16()) == pytest.approx(math.exp(entropy))


def test_of_many_tokens_some_are_taken_evenly() -> None:
    # the first half lies along one axis, the second along another
    tokens = torch.eye(2).repeat_interleave(5000, dim=0)
    assert effective_rank(tokens, max_tokens=100) == pytest.approx(2.)


def test_numbers_that_are_none() -> None:
    tokens = torch.randn(2, 4, 3)
    tokens[0, 0, 0] = torch.nan
    assert math.isnan(mean_similarity(tokens)) and math.isnan(effective_rank(tokens))
    assert mean_similarity(torch.zeros(2, 4, 3)) == 1.
    assert math.isnan(effective_rank(torch.zeros(2, 4, 3)))
