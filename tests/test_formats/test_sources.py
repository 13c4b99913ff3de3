"""Backbones of other libraries: in with the same tokens, and out again."""

import pytest
import torch
from torch import nn

from conmim_mm.apis import export
from conmim_mm.formats.source import BackboneSource, read_source
from conmim_mm.models import ConMIMViT

from ..test_apis.test_export_backbone import run_line, tokens_of
from .foreign_models import HEADS, MODELS, randomise, save, tokens


def build(source: BackboneSource) -> ConMIMViT:
    """Strictly of what was read."""
    backbone = ConMIMViT(**source.settings)
    backbone.load_state_dict(source.weights)
    return backbone.eval()


@pytest.mark.parametrize('case', MODELS)
def test_same_tokens_in_and_out(tmp_path, monkeypatch, case: str) -> None:
    model = randomise(MODELS[case]())
    place = save(model, tmp_path / 'in')
    source = read_source(place)
    assert source.library == {'HF': 'transformers'}.get(case.split()[0], case.split()[0])
    assert source.settings['arch']['num_heads'] == HEADS
    backbone = build(source)
    images = torch.randn(2, 3, *backbone.img_size)
    with torch.no_grad():
        expected = tokens(model, images)
        torch.testing.assert_close(backbone.forward_tokens(images), expected, rtol=1e-5, atol=1e-5)
        for format_name in ('timm', 'transformers', 'official', 'mmpretrain'):
            if 'CLIP' in case and format_name in ('transformers', 'official'):
                continue  # which have none
            out = tmp_path / f'{format_name}.pth'
            line = export(place, out, format_name)
            again = build(read_source(out, num_heads=HEADS))
            torch.testing.assert_close(again.forward_tokens(images), expected, rtol=1e-4, atol=1e-4)
            if format_name != 'mmpretrain':
                theirs = run_line(line, monkeypatch)
                torch.testing.assert_close(tokens_of(theirs, images), expected, rtol=1e-4,
                                           atol=1e-4)
