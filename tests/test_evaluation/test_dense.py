"""Retrieval and a linear layer on patch tokens, against the same by hand."""

import pytest
import torch

from conmim_mm.errors import InputError
from conmim_mm.evaluation import dense
from conmim_mm.evaluation.dense import (
    PatchBank,
    judge_maps,
    knn_scores,
    linear_scores,
    patch_bank,
    patch_shares,
)
from conmim_mm.evaluation.features import PatchBatch

PROBES = pytest.mark.parametrize('probe', [knn_scores, linear_scores])


def scenes(count: int, grid: int = 4, classes: int = 3, noise: float = 0.) -> PatchBatch:
    """Maps of 4 pixels a patch, and tokens that tell the class of a patch."""
    labels = torch.randint(0, classes, (count, grid, grid))
    tokens = torch.nn.functional.one_hot(labels, classes + 2).float()
    maps = labels.repeat_interleave(2, 1).repeat_interleave(2, 2).to(torch.uint8)
    return PatchBatch(tokens + noise * torch.randn(tokens.shape), maps)


def split(batch: PatchBatch, size: int) -> list[PatchBatch]:
    return [PatchBatch(*parts) for parts in zip(*(part.split(size) for part in batch), strict=True)]


@pytest.mark.parametrize('labels, grid, expected', [
    ([[0, 1], [2, 2]], (1, 1), [[0.25, 0.25, 0.5]]),
    ([[0, 255], [255, 255]], (1, 1), [[0.25]]),
    ([[255, 255]], (1, 2), [[0.], [0.]]),
    ([[0, 1, 3, 3], [1, 1, 3, 255]], (1, 2), [[0.25, 0.75, 0., 0.], [0., 0., 0., 0.75]]),
    ([[1], [0], [0]], (3, 1), [[0., 1.], [1., 0.], [1., 0.]]),
    # patches that do not divide the map: the first has the larger part
    ([[0, 0, 1]], (1, 2), [[1., 0.], [0., 1.]]),
])
def test_shares_of_a_patch(labels: list, grid: tuple, expected: list) -> None:
    found = patch_shares(torch.tensor(labels, dtype=torch.uint8), grid)
    torch.testing.assert_close(found, torch.tensor(expected))


def test_a_bank_has_the_labelled_patches_of_all_images() -> None:
    batch = scenes(5)
    batch.maps[1] = 255
    batch.maps[3] = 6
    bank = patch_bank(split(batch, 2), 5)
    expected = torch.cat([batch.tokens[:1], batch.tokens[2:]]).flatten(0, 2)
    assert torch.equal(bank.features, expected.half())
    assert bank.features.dtype == bank.shares.dtype == torch.float16
    assert bank.shares.shape == (64, 7) and bank.num_classes == 4
    assert (bank.shares.sum(dim=1) == 1).all() and (bank.shares[32:48, 6] == 1).all()


@pytest.mark.parametrize('batch_size', [1, 2, 5])
def test_of_too_many_as_many_of_each_image_the_same_every_time(batch_size: int) -> None:
    torch.manual_seed(3)
    batch = scenes(5, noise=0.1)
    bank = patch_bank(split(batch, batch_size), 5, max_patches=37)
    assert bank.features.shape == (35, 5)
    images = [bank.features[i:i + 7].unsqueeze(1) for i in range(0, 35, 7)]
    for own, drawn in zip(batch.tokens.half().flatten(1, 2), images, strict=True):
        assert (own == drawn).all(dim=2).any(dim=1).all()
    again = patch_bank(split(batch, 5), 5, max_patches=37)
    assert torch.equal(bank.features, again.features)


@PROBES
def test_tokens_that_tell_the_class_find_all_of_it(probe) -> None:
    bank = patch_bank([scenes(12)], 12)
    # fields larger than a patch, where neighbours have no say
    labels = torch.arange(3).repeat_interleave(12).expand(6, 36, 36)[:, :, :36]
    tokens = torch.nn.functional.one_hot(labels, 5).float()
    result = judge_maps(
        dict(it=probe(bank)), split(PatchBatch(tokens, labels.to(torch.uint8)), 4))['it']
    assert result.value == 1. and result.standard_error == 0.
    assert result.by_class == {0: 1., 1: 1., 2: 1.} and len(result.actual) == 6


@PROBES
def test_tokens_that_tell_nothing_find_the_commonest(probe) -> None:
    batch = scenes(12)
    batch.maps[:, :6] = 1
    bank = patch_bank([batch._replace(tokens=torch.randn(batch.tokens.shape))], 12)
    held_out = batch._replace(tokens=torch.randn(batch.tokens.shape))
    assert judge_maps(dict(it=probe(bank)), [held_out])['it'].value < 0.5


def test_retrieval_by_hand() -> None:
    bank = PatchBank(torch.tensor([[2., 0.], [0.6, 0.8], [0., 1.]]).half(),
                     torch.tensor([[1., 0.], [0.25, 0.5], [0., 1.]]).half())
    scores = knn_scores(bank, k=2, temperature=0.5)(torch.tensor([[1., 0.], [0., 3.]]))
    near, far = torch.softmax(torch.tensor([1., 0.6]) / 0.5, dim=0).tolist()
    other, last = torch.softmax(torch.tensor([0.8, 1.]) / 0.5, dim=0).tolist()
    torch.testing.assert_close(scores, torch.tensor(
        [[near + 0.25 * far, 0.5 * far], [0.25 * other, 0.5 * other + last]]),
        rtol=0, atol=1e-3)


def test_the_linear_layer_learns_shares() -> None:
    """Where tokens say nothing, its probabilities are the shares of all pixels with a label."""
    shares = torch.tensor([[0.5, 0.5], [0.5, 0.], [0., 0.25], [0., 0.25]])
    scores = linear_scores(PatchBank(torch.zeros(4, 3).half(), shares.half()))
    torch.testing.assert_close(scores(torch.zeros(1, 3)).softmax(dim=1),
                               torch.tensor([[0.5, 0.5]]), rtol=0, atol=1e-4)
    shares[1, 0] = 1.
    scores = linear_scores(PatchBank(torch.zeros(4, 3).half(), shares.half()))
    torch.testing.assert_close(scores(torch.zeros(1, 3)).softmax(dim=1),
                               torch.tensor([[0.6, 0.4]]), rtol=0, atol=1e-4)


@PROBES
def test_chunks_and_order_do_not_count(probe, monkeypatch) -> None:
    torch.manual_seed(1)
    train, held_out = scenes(8, noise=0.7), scenes(6, noise=0.7)
    expected = judge_maps(dict(it=probe(patch_bank([train], 8))), [held_out])['it']
    monkeypatch.setattr(dense, 'QUERIES', 5)
    order = torch.randperm(8)
    turned = PatchBatch(train.tokens[order], train.maps[order])
    result = judge_maps(
        dict(it=probe(patch_bank(split(turned, 3), 8))), split(held_out, 4))['it']
    assert 0.2 < result.value < 0.95
    assert result.value == pytest.approx(expected.value, abs=5e-3)
    assert (result.intersections - expected.intersections).abs().sum() <= 2


@pytest.mark.parametrize('label, words', [(2, r'one class \(2\)'), (255, r'one class \(\)')])
def test_maps_of_one_class_are_refused(label: int, words: str) -> None:
    batch = scenes(2)
    batch.maps[:] = label
    with pytest.raises(InputError, match=words):
        patch_bank([batch], 2)


def test_too_few_to_be_right_about() -> None:
    bank, held_out = patch_bank([scenes(4)], 4), scenes(3)
    held_out.maps[1:] = 255
    with pytest.raises(InputError, match='fewer than two of the images held out'):
        judge_maps(dict(it=knn_scores(bank)), [held_out])
