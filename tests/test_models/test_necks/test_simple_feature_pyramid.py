"""The pyramid's sizes, values and gradients."""

import pytest
import torch
from torch import nn

from conmim_mm.errors import InputError
from conmim_mm.models import SimpleFeaturePyramid


def only(neck: SimpleFeaturePyramid) -> tuple[nn.Sequential, nn.Sequential]:
    return neck.rescale[0], neck.project[0]


@pytest.mark.parametrize('size, levels', [
    ((64, 64), [(256, 256), (128, 128), (64, 64), (32, 32), (16, 16)]),
    ((5, 7), [(20, 28), (10, 14), (5, 7), (3, 4), (2, 2)]),
    ((1, 1), [(4, 4), (2, 2), (1, 1), (1, 1), (1, 1)]),
])
def test_sizes(size: tuple[int, int], levels: list[tuple[int, int]]) -> None:
    neck = SimpleFeaturePyramid(in_channels=8, out_channels=4)
    outs = neck((torch.randn(2, 8, *size), ))
    assert isinstance(outs, tuple)
    assert [out.shape for out in outs] == [(2, 4, *level) for level in levels]


def test_hand_computed_projection_of_a_constant_map() -> None:
    neck = SimpleFeaturePyramid(in_channels=4, out_channels=3, scales=(1, ), num_outs=2)
    _, (first, norm, second, last_norm) = only(neck)
    with torch.no_grad():
        # picks channels 0, 1 and 3 of the constant (3, 1, 9, 2), which are normalised to (a, -a, 0)
        first.weight.copy_(torch.eye(4)[[0, 1, 3], :, None, None])
        # channel 0: sum of channel 0 over the 3x3 pixels inside; 1 and 2: as they are
        second.weight.zero_()
        second.weight[0, 0] = 1.
        second.weight[1, 1, 1, 1] = second.weight[2, 2, 1, 1] = 1.
        last_norm.weight.copy_(torch.tensor([1., 2., 3.]))
        last_norm.bias.copy_(torch.tensor([0.5, 0., 0.]))
    image = torch.tensor([3., 1., 9., 2.]).view(1, 4, 1, 1).expand(1, 4, 3, 3)
    out, pooled = neck((image, ))

    a = 1.5**0.5
    for row, col, pixels in [(0, 0, 4), (0, 1, 6), (1, 1, 9)]:
        # (n a, -a, 0): mean (n - 1) a / 3, variance 2 (n^2 + n + 1) a^2 / 9
        n = pixels
        std = (2 * (n * n + n + 1))**0.5 / 3
        expected = torch.tensor([
            0.5 + (n - (n - 1) / 3) / std, 2 * (-1 - (n - 1) / 3) / std, 3 * -(n - 1) / 3 / std])
        torch.testing.assert_close(out[0, :, row, col], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(norm(first(image))[0, :, 0, 0], torch.tensor([a, -a, 0.]))
    assert torch.equal(pooled, out[:, :, ::2, ::2])


def test_resampling_in_hand_computed_values() -> None:
    image = torch.arange(1., 7.).view(1, 1, 2, 3).expand(1, 4, 2, 3)
    down, _ = only(SimpleFeaturePyramid(in_channels=4, scales=(0.5, )))
    assert down(image)[0, 0].tolist() == [[5., 6.]]

    up, _ = only(SimpleFeaturePyramid(in_channels=4, scales=(2, )))
    with torch.no_grad():
        up[0].weight.zero_()
        up[0].bias.zero_()
        up[0].weight[0, 0] = torch.tensor([[1., 10.], [100., 1000.]])
    enlarged = up(image)
    assert enlarged.shape == (1, 2, 4, 6) and not enlarged[0, 1].any()
    assert enlarged[0, 0, :2].tolist() == [
        [1, 10, 2, 20, 3, 30], [100, 1000, 200, 2000, 300, 3000]]


def test_every_level_sends_gradients_to_the_input() -> None:
    neck = SimpleFeaturePyramid(in_channels=8, out_channels=4)
    image = torch.randn(1, 8, 4, 6, requires_grad=True)
    for out in neck((image, )):
        weights = torch.randn_like(out)
        gradient, = torch.autograd.grad((out * weights).sum(), image, retain_graph=True)
        assert gradient.abs().sum() > 0
    sum((out * torch.randn_like(out)).sum() for out in neck((image, ))).backward()
    assert all(param.grad.abs().sum() > 0 for param in neck.parameters())


def test_float32_under_autocast() -> None:
    neck = SimpleFeaturePyramid(in_channels=8, out_channels=4)
    with torch.autocast('cpu', torch.bfloat16):
        outs = neck((torch.randn(1, 8, 4, 4), ))
    assert {out.dtype for out in outs} == {torch.float32}


@pytest.mark.parametrize('settings, match', [
    (dict(in_channels=6), 'divisible by 4'),
    (dict(in_channels=8, scales=(3, )), 'no scale 3'),
    (dict(in_channels=8, num_outs=3), 'num_outs=3'),
    (dict(in_channels=8, scales=()), 'no scales'),
])
def test_settings_that_cannot_be(settings: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        SimpleFeaturePyramid(**settings)


def test_several_maps_are_refused() -> None:
    neck = SimpleFeaturePyramid(in_channels=8)
    with pytest.raises(InputError, match='gives 2'):
        neck((torch.randn(1, 8, 2, 2), ) * 2)


def test_input_norm_takes_out_what_all_tokens_share() -> None:
    neck = SimpleFeaturePyramid(
        in_channels=4, out_channels=3, scales=(1, ), num_outs=1,
        input_norm_cfg=dict(type='BN', affine=False))
    image = torch.randn(2, 4, 5, 5)
    plain = neck((image, ))[0]
    shifted = neck((image + torch.tensor([100., -50., 3., 0.]).view(4, 1, 1), ))[0]
    torch.testing.assert_close(shifted, plain, atol=1e-3, rtol=0)
    assert not list(neck.input_norm.parameters())  # nothing for weight decay to shrink


def test_no_input_norm_unless_told() -> None:
    neck = SimpleFeaturePyramid(in_channels=4, out_channels=3, scales=(1, ), num_outs=1)
    image = torch.randn(2, 4, 5, 5)
    assert torch.equal(neck.input_norm(image), image)
