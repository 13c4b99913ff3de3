"""Graphs taken of the backbone: right for any batch, and the model is as it was."""

import warnings

import pytest
import torch

from conmim_mm.models import ConMIMViT

from ...toy import ARCH

CASES = {
    'shared table': {},
    'own tables': dict(use_shared_rel_pos_bias=False, use_rel_pos_bias=True),
    'absolute embedding': dict(use_shared_rel_pos_bias=False, use_abs_pos_emb=True),
    'windows': dict(window_size=3, window_blocks=[0]),
    'feature maps': dict(out_type='featmap', out_indices=(0, -1)),
}


def exported(vit: ConMIMViT, images: torch.Tensor):
    with torch.no_grad():
        return torch.export.export(
            vit, (images,), dynamic_shapes=({0: torch.export.Dim('batch')},)).module()


def traced(vit: ConMIMViT, images: torch.Tensor):
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore', torch.jit.TracerWarning)  # of the image size, which stays
        return torch.jit.trace(vit, images)


@pytest.mark.parametrize('take', [exported, traced])
@pytest.mark.parametrize('case', CASES)
def test_any_batch(case: str, take) -> None:
    vit = ConMIMViT(ARCH, img_size=32, patch_size=8, **CASES[case]).eval()
    with torch.no_grad():
        for value in vit.parameters():
            value += .3 * torch.randn_like(value)
    images = torch.randn(5, 3, 40, 24)  # not the native size, so that tables are resized too
    graph = take(vit, images[:2])
    with torch.no_grad():
        for batch in (1, 2, 5):
            torch.testing.assert_close(
                graph(images[:batch]), vit(images[:batch]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('take', [exported, traced])
def test_the_model_is_as_it_was(take) -> None:
    vit = ConMIMViT(ARCH, img_size=32, patch_size=8).eval()
    images = torch.randn(2, 3, 32, 32)
    before = [value.clone() for value in vit.state_dict().values()]
    with torch.no_grad():
        outputs = vit(images)
        take(vit, images)
        assert all(map(torch.equal, vit(images), outputs))
    assert all(map(torch.equal, vit.state_dict().values(), before))
    vit(images)[0].sum().backward()
    assert vit.rel_pos_bias.relative_position_bias_table.grad.abs().sum() > 0
