import numpy as np
import torch

from conmim_mm.visualization.token_pca import patch_tokens, principal_components, token_colours


def tokens() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(3, 10, 6) * torch.tensor([5., 4., 3., 1., .5, .1]) + 7


def test_components_are_those_of_the_svd() -> None:
    flat = tokens().double().flatten(0, 1).numpy()
    flat = flat - flat.mean(axis=0)
    left, scale, right = np.linalg.svd(flat, full_matrices=False)
    expected = (left * scale)[:, :3]
    signs = np.sign(right[range(3), np.abs(right[:3]).argmax(axis=1)])
    np.testing.assert_allclose(principal_components(tokens()).flatten(0, 1), expected * signs)


def test_the_order_of_images_does_not_matter() -> None:
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(token_colours(tokens()[order]), token_colours(tokens())[order])


def test_colours_are_stretched_between_percentiles() -> None:
    colours = token_colours(tokens())
    components = principal_components(tokens()).flatten(0, 1).numpy()
    low, high = np.percentile(components, [2, 98], axis=0)
    np.testing.assert_allclose(
        colours.flatten(0, 1), np.clip((components - low) / (high - low), 0, 1))


def test_equal_tokens_have_a_colour_too() -> None:
    assert token_colours(torch.ones(1, 4, 6)).isfinite().all()


def test_tokens_are_normalised_and_without_the_class_token(model) -> None:
    images = torch.randn(2, 3, 32, 32)
    found = patch_tokens(model.backbone, images)
    model.eval()
    torch.testing.assert_close(found, model.backbone.forward_tokens(images)[:, 1:].detach())
