"""Backbones for oblong images: their grid comes with the weights, into every format and back."""

import pytest
import torch
import transformers
from timm.models import vision_transformer

from conmim_mm.apis import export
from conmim_mm.errors import InputError
from conmim_mm.formats.backbone import build_backbone, saved_backbone
from conmim_mm.formats.source import read_source
from conmim_mm.models import ConMIMViT

from ..test_apis.test_export_backbone import NO_TABLES, OWN_TABLES, randomise, run_line, tokens_of
from .foreign_models import HEADS, WIDTH, save

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=60)
SIZE = (16, 40)  # (2, 5) patches: 30 rows of a table, 10 of an embedding
TABLES = dict(shared={}, own=OWN_TABLES, embedding=NO_TABLES)


def oblong(size: tuple[int, int] = SIZE, **settings) -> ConMIMViT:
    backbone = ConMIMViT(ARCH, img_size=size, patch_size=8, **settings)
    randomise(backbone)
    return backbone.eval()


def checkpoint_of(backbone: ConMIMViT, **settings) -> dict:
    """As a run keeps it."""
    named = dict(type='ConMIMViT', arch=ARCH, img_size=list(backbone.img_size), patch_size=8)
    return dict(meta=dict(settings=dict(model=dict(backbone=named | settings))), state_dict={
        f'backbone.{key}': value for key, value in backbone.state_dict().items()})


@pytest.mark.parametrize('format_name', ['timm', 'transformers', 'official', 'mmpretrain'])
@pytest.mark.parametrize('kind', TABLES)
def test_out_and_in_again(tmp_path, monkeypatch, kind: str, format_name: str) -> None:
    backbone = oblong(**TABLES[kind])
    torch.save(checkpoint_of(backbone), tmp_path / 'own.pth')
    out = tmp_path / 'out.pth'
    if format_name == 'transformers' and kind != 'embedding':  # whose reshape swaps the sides
        with pytest.raises(InputError, match='mixes up height and width .* timm does not'):
            export(tmp_path / 'own.pth', out, format_name)
        return
    line = export(tmp_path / 'own.pth', out, format_name)
    images = torch.randn(2, 3, *SIZE)
    source = read_source(out)
    again = build_backbone(source.weights, source.sizes)
    assert again.grid == (2, 5) and source.settings['arch']['num_heads'] == 2 and not source.notes
    with torch.no_grad():
        expected = backbone.forward_tokens(images)
        torch.testing.assert_close(again.forward_tokens(images), expected, rtol=1e-5, atol=1e-5)
        if format_name != 'mmpretrain':
            theirs = run_line(line, monkeypatch)
            torch.testing.assert_close(tokens_of(theirs, images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(('make', 'size'), [
    (lambda: transformers.ViTModel(transformers.ViTConfig(
        image_size=[28, 70], patch_size=14, hidden_size=WIDTH, num_hidden_layers=1,
        num_attention_heads=HEADS, intermediate_size=80)), (28, 70)),
    # no class token in its embedding: 9 + 1 would be a square's
    (lambda: vision_transformer.VisionTransformer(
        img_size=(28, 70), patch_size=14, embed_dim=WIDTH, depth=2, num_heads=HEADS,
        no_embed_class=True), (28, 70)),
])
def test_other_libraries_tell_it(tmp_path, monkeypatch, make, size) -> None:
    monkeypatch.setattr('tests.test_formats.foreign_models.IMG_SIZE', list(size))
    model = make()
    randomise(model)
    model.eval()
    source = read_source(save(model, tmp_path / 'in'))
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(
            build_backbone(source.weights, source.sizes).forward_tokens(images),
            tokens_of(model, images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('kind', TABLES)
@pytest.mark.parametrize(('size', 'new'), [
    (SIZE, (40, 16)), (SIZE, (32, 32)), ((32, 32), SIZE), ((16, 64), (32, 32))])
def test_tables_are_resized_both_ways(kind: str, size, new) -> None:
    """As an image of that size is met on the way; also where it has as many patches."""
    backbone = oblong(size, **TABLES[kind])
    weights, sizes = saved_backbone(checkpoint_of(backbone))
    assert sizes.img_size == size
    images = torch.randn(2, 3, *new)
    with torch.no_grad():
        torch.testing.assert_close(
            build_backbone(weights, sizes, new).forward_tokens(images),
            backbone.forward_tokens(images), rtol=1e-5, atol=1e-5)


def test_a_task_starts_from_it(tmp_path) -> None:
    """Its grid is turned, which no shape tells."""
    backbone = oblong()
    torch.save(checkpoint_of(backbone), tmp_path / 'own.pth')
    task = ConMIMViT(ARCH, img_size=SIZE[::-1], patch_size=8, **OWN_TABLES, init_cfg=dict(
        type='Pretrained', checkpoint=str(tmp_path / 'own.pth')))
    task.init_weights()
    images = torch.randn(2, 3, *SIZE[::-1])
    with torch.no_grad():
        torch.testing.assert_close(task.eval().forward_tokens(images),
                                   backbone.forward_tokens(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('img_size', [None, 224, [16, 32], ['16', '40'], 'any', [16, 40, 3], 0])
def test_settings_that_tell_nothing(img_size) -> None:
    with pytest.raises(InputError, match='tell height and width'):
        saved_backbone(checkpoint_of(oblong(), img_size=img_size))
