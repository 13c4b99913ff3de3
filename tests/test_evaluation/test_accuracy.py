import pytest
import torch

from conmim_mm.evaluation import (
    Accuracy,
    evaluate_features,
    knn_predict,
    linear_probe_predict,
)


@pytest.mark.parametrize('value, num_images, error', [
    (0.5, 100, 0.05), (0.8, 400, 0.02), (0.1, 900, 0.01), (0., 10, 0.), (1., 10, 0.)])
def test_standard_error(value: float, num_images: int, error: float) -> None:
    assert Accuracy(value, num_images).standard_error == pytest.approx(error)


def test_accuracy_counts_right_predictions() -> None:
    train = torch.tensor([[1., 0.1], [1., -0.1], [-1., 0.1], [-1., -0.1]])
    labels = torch.tensor([0, 0, 1, 1])
    held_out = torch.tensor([[2., 0.], [3., 0.], [-2., 0.], [-1., 0.]])
    # Both find the sides; the third label is wrong.
    result = evaluate_features((train, labels), (held_out, torch.tensor([0, 0, 0, 1])))
    assert result == dict(knn=Accuracy(0.75, 4), linear=Accuracy(0.75, 4))


def test_agrees_with_the_predictors() -> None:
    train, labels = torch.randn(80, 6), torch.randint(0, 3, (80,))
    held_out, truth = torch.randn(50, 6), torch.randint(0, 3, (50,))
    result = evaluate_features((train, labels), (held_out, truth))
    for name, predict in dict(knn=knn_predict, linear=linear_probe_predict).items():
        right = (predict(train, labels, held_out) == truth).sum().item()
        assert result[name].value == pytest.approx(right / 50) and result[name].num_images == 50
