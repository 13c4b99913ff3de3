import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from conmim_mm.evaluation import (
    Accuracy,
    evaluate_features,
    extract_features,
    knn_predict,
    linear_probe_predict,
)
from conmim_mm.models.data_preprocessors.conmim_data_preprocessor import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ConMIMDataPreprocessor,
)

from ..toy import IMG_SIZE, backbone_cfg


@pytest.mark.parametrize('value, num_images, error', [
    (0.5, 100, 0.05), (0.8, 400, 0.02), (0.1, 900, 0.01), (0., 10, 0.), (1., 10, 0.)])
def test_standard_error(value: float, num_images: int, error: float) -> None:
    assert Accuracy(value, num_images).standard_error == pytest.approx(error)


def test_standard_error_is_the_spread_of_repeated_measurements() -> None:
    share = (torch.rand(4000, 250) < 0.3).float().mean(dim=1)
    expected = Accuracy(0.3, 250).standard_error
    # relative standard error of a standard deviation: 1 / sqrt(2 n)
    assert share.std().item() == pytest.approx(expected, rel=5 / 8000**0.5)


def test_accuracy_counts_right_predictions() -> None:
    train = torch.tensor([[1., 0.1], [1., -0.1], [-1., 0.1], [-1., -0.1]])
    labels = torch.tensor([0, 0, 1, 1])
    held_out = torch.tensor([[2., 0.], [3., 0.], [-2., 0.], [-1., 0.]])
    # Both find the sides; the third label is wrong.
    result = evaluate_features((train, labels), (held_out, torch.tensor([0, 0, 0, 1])))
    assert result == dict(knn=Accuracy(0.75, 4), linear=Accuracy(0.75, 4))


def test_both_predictors_are_asked() -> None:
    # A dense and a sparse class far out on one line: angles tell nothing, distances do.
    train = torch.tensor([[1.], [2.], [3.], [11.], [12.], [13.]])
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    held_out, truth = torch.tensor([[2.5], [10.5], [12.5], [1.5]]), torch.tensor([0, 1, 1, 0])
    result = evaluate_features((train, labels), (held_out, truth))
    assert result['linear'] == Accuracy(1., 4)
    assert result['knn'] == Accuracy(0.5, 4)


def test_agrees_with_the_predictors() -> None:
    train, labels = torch.randn(80, 6), torch.randint(0, 3, (80,))
    held_out, truth = torch.randn(50, 6), torch.randint(0, 3, (50,))
    result = evaluate_features((train, labels), (held_out, truth))
    for name, predict in dict(knn=knn_predict, linear=linear_probe_predict).items():
        right = (predict(train, labels, held_out) == truth).sum().item()
        assert result[name].value == pytest.approx(right / 50) and result[name].num_images == 50


def samples(num: int) -> list[dict]:
    labels = torch.randint(0, 9, (num,)).tolist()
    return [
        dict(inputs=torch.randint(0, 256, (3, IMG_SIZE, IMG_SIZE), dtype=torch.uint8),
             data_samples=DataSample().set_gt_label(label)) for label in labels]


def build_backbone() -> nn.Module:
    backbone = MODELS.build(backbone_cfg(drop_path_rate=0.5))
    backbone.init_weights()
    return backbone


def expected_features(backbone: nn.Module, images: list[dict]) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    backbone.eval()
    with torch.no_grad():
        tokens = [backbone.forward_tokens(((image['inputs'] - mean) / std)[None])[0, 1:]
                  for image in images]  # without the class token
    return torch.stack([sum(image) / len(image) for image in tokens])


@pytest.mark.parametrize('num_workers', [0, 2])
def test_features_are_means_of_patch_tokens_in_order(num_workers: int) -> None:
    backbone, images = build_backbone(), samples(7)
    expected = expected_features(backbone, images)
    backbone.train()
    features, labels = extract_features(
        backbone, images, ConMIMDataPreprocessor(), batch_size=3, num_workers=num_workers)
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)
    assert features.shape == (7, 24) and features.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert labels.tolist() == [image['data_samples'].gt_label.item() for image in images]
    assert not features.requires_grad


@pytest.mark.parametrize('training', [True, False])
def test_mode_of_the_backbone_is_restored(training: bool) -> None:
    backbone = build_backbone().train(training)
    extract_features(backbone, samples(2), ConMIMDataPreprocessor(), num_workers=0)
    assert {module.training for module in backbone.modules()} == {training}


def test_extraction_leaves_the_weights_alone() -> None:
    backbone = build_backbone()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    extract_features(backbone, samples(2), ConMIMDataPreprocessor(), num_workers=0)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
