import pytest
import torch
from attention import AttentionWindow, patch_at, sheet_of_image
from matplotlib.backend_bases import MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmpretrain.registry import MODELS

from conmim_mm.errors import InputError
from conmim_mm.visualization.attention import attention_maps, attention_weights
from conmim_mm.visualization.sheet import DPI

from ..toy import backbone_cfg
from .conftest import lively


@pytest.mark.parametrize('size', [(32, 32), (48, 32)])
@pytest.mark.parametrize('settings', [
    dict(),
    dict(use_shared_rel_pos_bias=False, use_rel_pos_bias=True),
    dict(window_size=3, window_blocks=[1]),
])
def test_the_weights_make_the_blocks_output_of_its_values(settings, size) -> None:
    backbone = lively(MODELS.build(backbone_cfg(**settings))).eval()
    images = torch.randn(2, 3, *size)
    seen = {}
    attention = backbone.blocks[1].attn
    attention.register_forward_hook(lambda _, inputs, output: seen.update(x=inputs[0], out=output))
    backbone.forward_tokens(images)
    weights = attention_weights(backbone, images)

    values = attention.project(seen['x'])[2]
    mixed = (weights @ values).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention.proj(mixed), seen['out'], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:3]))


def test_the_weights_are_the_softmax_of_queries_keys_and_bias(model) -> None:
    backbone, images = model.backbone.eval(), torch.randn(1, 3, 32, 32)
    block = backbone.blocks[0]
    q, k, _ = block.attn.project(block.norm1(backbone.embed_patches(images)))
    bias = backbone.attention_patterns((4, 4))[0].shared
    by_hand = (q @ k.transpose(-1, -2) / 12**0.5 + bias).softmax(dim=-1)
    torch.testing.assert_close(attention_weights(backbone, images, block=0), by_hand)


def test_even_attention_is_one_everywhere() -> None:
    weights = torch.full((2, 7, 7), 1 / 7)
    weights[:, 3] = torch.tensor([0., 1., 0., 0., 0., 0., 0.])
    torch.testing.assert_close(attention_maps(weights, 0, (2, 3)), torch.ones(2, 2, 3))
    first = torch.tensor([[7., 0., 0.], [0., 0., 0.]])
    assert torch.equal(attention_maps(weights, 3, (2, 3)), first.expand(2, 2, 3))


def test_pixels_belong_to_patches() -> None:
    assert patch_at(47, 8, (32, 48), 8) == (1, 5)
    for x, y in ((48, 0), (0, 32), (-1, 0)):
        with pytest.raises(InputError, match='48 pixels wide and 32 high'):
            patch_at(x, y, (32, 48), 8)


def test_a_click_shows_the_patch_below_it(model) -> None:
    image = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8).numpy()
    weights = attention_weights(model.backbone, torch.randn(1, 3, 32, 32))[0]
    figure = Figure(dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    window = AttentionWindow(figure, image, weights, (4, 4), head=1)
    canvas.draw()

    def click(x: float, y: float) -> None:  # in inches from the top left
        place = x * DPI, figure.bbox.height - y * DPI
        canvas.callbacks.process('button_press_event',
                                 MouseEvent('button_press_event', canvas, *place, button=1))

    before = window.shown.get_array().copy()
    panel = window.sheet.panels[1][1]
    click(panel.left + 0.8 * panel.cell[0], panel.top + 2.2 * panel.cell[1])
    expected = sheet_of_image(image, weights, (4, 4), [0, 1 + 2 * 4 + 0], head=1).pixels()
    assert (window.shown.get_array() == expected).all()
    assert (expected != before).any()
    click(0.01, 0.01)
    assert (window.shown.get_array() == expected).all()
