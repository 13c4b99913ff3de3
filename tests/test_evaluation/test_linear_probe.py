import math

import pytest
import torch
import torch.nn.functional as F

from conmim_mm.evaluation import linear_probe_predict


def problem(num: int = 90, channels: int = 3, classes: int = 3) -> tuple[torch.Tensor, ...]:
    """Overlapping clusters, so that no classifier is perfect, of very different scales."""
    labels = torch.arange(num) % classes
    centres = torch.randn(classes, channels) * 1.5
    features = (centres[labels] + torch.randn(num, channels)) * 4. + 7.
    return features, labels


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Weight and bias of the last fit: the real optimizer, overheard."""
    params: list[torch.Tensor] = []

    class Overheard(torch.optim.LBFGS):
        def __init__(self, given, **kwargs) -> None:
            params[:] = given
            super().__init__(params, **kwargs)

    monkeypatch.setattr(torch.optim, 'LBFGS', Overheard)
    return params


def standardised(features: torch.Tensor) -> torch.Tensor:
    return ((features - features.mean(dim=0)) / features.std(dim=0)).double()


def objective(weight: torch.Tensor, bias: torch.Tensor, features: torch.Tensor,
              labels: torch.Tensor, weight_decay: float) -> torch.Tensor:
    loss = F.cross_entropy(features @ weight.T + bias, labels)
    return loss + weight_decay / 2 * (weight**2).sum()


@pytest.mark.parametrize('weight_decay', [1e-3, 0.1])
def test_gradient_is_zero_at_the_solution(fitted: list, weight_decay: float) -> None:
    features, labels = problem()
    predicted = linear_probe_predict(features, labels, features, weight_decay=weight_decay)
    params = [param.detach().double().requires_grad_() for param in fitted]
    loss = objective(*params, standardised(features), labels, weight_decay)
    start = torch.autograd.grad(
        objective(*(zero := [torch.zeros_like(param).requires_grad_() for param in params]),
                  standardised(features), labels, weight_decay), zero)
    at_start = max(grad.abs().max() for grad in start)
    at_end = max(grad.abs().max() for grad in torch.autograd.grad(loss, params))
    assert at_end < 1e-4 < 0.05 < at_start
    weight, bias = params
    scores = standardised(features) @ weight.T + bias
    best = scores.topk(2).values
    clear = best[:, 0] - best[:, 1] > 1e-3
    assert clear.sum() > 80 and torch.equal(predicted[clear], scores.argmax(dim=1)[clear])


def test_boundary_of_two_points_is_half_way() -> None:
    train, labels = torch.tensor([[1., 5.], [3., 5.]]), torch.tensor([0, 1])
    features = torch.tensor([[-9., 5.], [1.99, 5.], [2.01, 5.], [9., 5.]])
    assert linear_probe_predict(train, labels, features).tolist() == [0, 0, 1, 1]


def test_bias_is_not_decayed(fitted: list) -> None:
    # With all weight decayed away the bias is the classes' log share, up to a constant.
    features = torch.randn(60, 3)
    labels = torch.tensor([0] * 36 + [1] * 18 + [2] * 6)
    predicted = linear_probe_predict(features, labels, features, weight_decay=1e4)
    weight, bias = (param.detach() for param in fitted)
    assert weight.abs().max() < 1e-3 and predicted.tolist() == [0] * 60
    assert (bias[0] - bias[1]).item() == pytest.approx(math.log(2), abs=0.01)
    assert (bias[1] - bias[2]).item() == pytest.approx(math.log(3), abs=0.01)


def test_result_has_no_randomness() -> None:
    features, labels = problem()
    held_out = torch.randn(300, 3) * 8 + 7
    predictions = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        predictions.append(linear_probe_predict(features, labels, held_out))
    assert torch.equal(*predictions)


def test_scales_of_the_features_do_not_count() -> None:
    features, labels = problem()
    held_out = torch.randn(300, 3) * 8 + 7
    expected = linear_probe_predict(features, labels, held_out)
    scale = torch.tensor([2.**10, 1., 2.**-10])  # powers of two, so exact
    assert torch.equal(linear_probe_predict(features * scale, labels, held_out * scale), expected)
    moved = linear_probe_predict(features * 3 - 50, labels, held_out * 3 - 50)
    assert (moved == expected).float().mean() > 0.99
    assert len(expected.unique()) == 3


def test_held_out_images_are_standardised_by_the_training_set() -> None:
    train = torch.tensor([[0.], [1.], [10.], [11.]])
    labels = torch.tensor([0, 0, 1, 1])
    # Standardised by themselves these would fall on both sides.
    far = torch.tensor([[9.], [10.], [12.]])
    assert linear_probe_predict(train, labels, far).tolist() == [1, 1, 1]
    assert linear_probe_predict(train, labels, torch.tensor([[2.]])).item() == 0


def test_a_constant_feature_does_no_harm() -> None:
    features, labels = problem()
    expected = linear_probe_predict(features, labels, features)
    constant = torch.cat([features, torch.full((len(features), 1), 0.1)], dim=1)
    assert torch.equal(linear_probe_predict(constant, labels, constant), expected)


def test_works_below_no_grad_and_leaves_the_features_alone() -> None:
    features, labels = problem()
    before = features.clone()
    expected = linear_probe_predict(features, labels, features)
    with torch.no_grad():
        assert torch.equal(linear_probe_predict(features, labels, features), expected)
    assert torch.equal(features, before)
    accuracy = (expected == labels).float().mean()
    assert accuracy > 0.6 and expected.dtype == torch.int64


@pytest.mark.parametrize('chunk_size', [1, 37, 89])
def test_chunks_add_up_to_the_full_batch(fitted: list, chunk_size: int) -> None:
    features, labels = problem()
    held_out = torch.randn(300, 3) * 8 + 7
    expected = linear_probe_predict(features, labels, held_out)
    whole = [param.detach().clone() for param in fitted]
    predicted = linear_probe_predict(features, labels, held_out, chunk_size=chunk_size)
    for ours, reference in zip(fitted, whole, strict=True):
        torch.testing.assert_close(ours.detach(), reference, rtol=0, atol=1e-3)
    assert (predicted == expected).float().mean() > 0.99
