"""Mean IoU against the same by hand, and its standard error against many drawn sets."""

import numpy as np
import pytest
import torch

from conmim_mm.evaluation.mean_iou import MeanIoU, count_pixels, jackknife_error


def scores_of(labels: list[list[int]], num_classes: int = 3) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(labels), num_classes).float()


def judged(*pairs: tuple[list, list]) -> MeanIoU:
    """Of predicted and actual maps of the same size, so that nothing is enlarged."""
    counts = [count_pixels(scores_of(found), torch.tensor(labels, dtype=torch.uint8))
              for found, labels in pairs]
    return MeanIoU(*torch.stack(counts).unbind(dim=1))


def test_over_the_pixels_of_all_images() -> None:
    result = judged(([[0, 0], [1, 1]], [[0, 1], [1, 1]]), ([[0, 0], [0, 0]], [[0, 0], [1, 255]]))
    # class 0: 3 found of 3 + 2 said to be; class 1: 2 of 4
    assert result.by_class == {0: pytest.approx(3 / 5), 1: pytest.approx(2 / 4)}
    assert result.value == pytest.approx((3 / 5 + 2 / 4) / 2)


def test_pixels_without_a_label_do_not_count() -> None:
    assert judged(([[0, 1], [0, 1]], [[0, 255], [255, 1]])).by_class == {0: 1., 1: 1.}


def test_a_class_that_occurs_nowhere_is_left_out() -> None:
    # said of one pixel, which is missing in the class that it is of
    result = judged(([[0, 2], [1, 1]], [[0, 0], [1, 1]]))
    assert result.by_class == {0: 0.5, 1: 1.} and result.value == 0.75
    # one that is never said counts
    assert judged(([[0, 0], [1, 1]], [[0, 7], [1, 1]])).by_class == {0: 0.5, 1: 1., 7: 0.}


def test_scores_are_enlarged_bilinearly() -> None:
    """Between the centres of two patches the higher score wins, as far as it reaches."""
    scores = torch.tensor([[[1., 0.], [0., 3.]]])  # (1, 2, 2)
    labels = torch.zeros(4, 8, dtype=torch.uint8)
    # weights of the right patch at 8 columns: 0 0 1/8 3/8 5/8 7/8 1 1; 1 - w < 3 w above 1/4
    found, said, _ = count_pixels(scores, labels)
    assert found[0] == 4 * 3 and said[:2].tolist() == [12, 20]


def test_leave_one_out_is_the_value_without_each() -> None:
    pairs = [([[0, 1], [2, 2]], [[0, 1], [1, 2]]), ([[0, 0]], [[0, 1]]), ([[1, 2]], [[2, 2]])]
    rest = [judged(*pairs[:i], *pairs[i + 1:]).value for i in range(3)]
    result = judged(*pairs)
    assert result.leave_one_out.tolist() == pytest.approx(rest)
    assert result.standard_error == pytest.approx(
        (2 / 3 * sum((value - sum(rest) / 3)**2 for value in rest))**0.5)


def test_of_a_mean_it_is_the_usual_error() -> None:
    values = torch.rand(50, dtype=torch.float64)
    without = (values.sum() - values) / 49
    assert jackknife_error(without) == pytest.approx(values.std().item() / 50**0.5)


def test_error_is_the_spread_over_drawn_sets() -> None:
    rng = np.random.default_rng(0)

    def drawn() -> MeanIoU:
        # images in which more or less is right
        actual = rng.integers(20, 60, (60, 3))
        found = rng.binomial(actual, rng.uniform(0.3, 0.9, (60, 1)))
        said = found + rng.integers(0, 20, (60, 3))
        return MeanIoU(*map(torch.from_numpy, (found, said, actual)))

    results = [drawn() for _ in range(300)]
    spread = np.std([result.value for result in results])
    assert np.mean([result.standard_error for result in results]) == pytest.approx(spread, rel=0.15)
