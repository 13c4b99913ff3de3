import torch

from ...toy import build_model


def test_projector_shape_and_parameters() -> None:
    neck = build_model().neck
    assert neck(torch.randn(2, 5, 24)).shape == (2, 5, 16)
    width, hidden, out = 24, 32, 16
    assert sum(p.numel() for p in neck.parameters()) == (
        width * hidden + hidden * hidden + hidden * out + 2 * 2 * hidden)


def test_projector_normalises_over_all_tokens_of_all_images() -> None:
    projected = build_model().neck(torch.randn(8, 5, 24)).flatten(0, 1)
    torch.testing.assert_close(projected.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(projected.std(0, unbiased=False), torch.ones(16), atol=0.01, rtol=0)
