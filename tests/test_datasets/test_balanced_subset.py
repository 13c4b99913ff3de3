import torch

from conmim_mm.evaluation import balanced_indices

LABELS = torch.tensor([0] * 50 + [2] * 3 + [1] * 30 + [3] * 17)


def counts(indices: torch.Tensor) -> list[int]:
    return LABELS[indices].bincount(minlength=4).tolist()


def test_classes_have_equal_shares_as_far_as_they_can() -> None:
    assert counts(balanced_indices(LABELS, 8)) == [2, 2, 2, 2]
    assert counts(balanced_indices(LABELS, 12)) == [3, 3, 3, 3]
    # the class of three has no more to give
    assert counts(balanced_indices(LABELS, 33)) == [10, 10, 3, 10]
    assert counts(balanced_indices(LABELS, 63)) == [22, 21, 3, 17]
    assert balanced_indices(LABELS, 100).tolist() == balanced_indices(LABELS, 999).tolist() == [
        *range(100)]


def test_the_same_images_every_time_and_not_the_first_ones() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    drawn = balanced_indices(LABELS, 20)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(balanced_indices(LABELS, 20), drawn)
    assert len(set(drawn.tolist())) == 20 and drawn.tolist() == sorted(drawn.tolist())
    assert drawn[LABELS[drawn] == 0].tolist() != [0, 1, 2, 3, 4]
    assert not torch.equal(balanced_indices(LABELS, 20, seed=1), drawn)
