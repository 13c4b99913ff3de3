import copy

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models.utils import build_2d_sincos_position_embedding
from mmpretrain.registry import MODELS
from torch import nn

from conmim_mm.errors import InputError
from conmim_mm.models.decoders.cross_attention_decoder import CrossAttentionBlock
from conmim_mm.models.layers.embedding import sincos_pos_embed
from conmim_mm.models.layers.visible import split_positions

from ...toy import random_inputs

GRID, WIDTH, VISIBLE = (2, 8), 24, 8  # oblong, so that rows and columns cannot be mixed up
KINDS = ('CrossAttentionDecoder', 'SelfAttentionDecoder')


def build(kind: str, **settings):
    decoder = MODELS.build(dict(type=kind, embed_dims=WIDTH, num_heads=2) | settings)
    decoder.init_weights()
    return decoder


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Visible tokens, their positions, and those of the holes."""
    return torch.randn(4, 1 + VISIBLE, WIDTH), *split_positions(random_inputs()['mask'], VISIBLE)


@pytest.mark.parametrize('kind', KINDS)
def test_holes_come_in_the_order_of_their_positions(kind: str) -> None:
    """A hole's token is that of its place: swapping two images swaps them, another mask moves."""
    decoder = build(kind, num_layers=2)
    with torch.no_grad():  # else attention would hardly matter
        for param in decoder.parameters():
            param.normal_(std=0.3)
    visible, shown, holes = inputs()
    tokens = decoder(visible, shown, holes, GRID)
    assert tokens.shape == (4, 8, WIDTH)
    swapped = decoder(visible[[1, 0]], shown[[1, 0]], holes[[1, 0]], GRID)
    torch.testing.assert_close(swapped, tokens[[1, 0]])
    backwards = decoder(visible, shown, holes.flip(1), GRID)
    torch.testing.assert_close(backwards, tokens.flip(1), rtol=1e-4, atol=1e-4)
    # visible tokens in another order, each with its place: nothing changes
    order = torch.randperm(VISIBLE)
    shuffled = decoder(torch.cat([visible[:, :1], visible[:, 1:][:, order]], dim=1),
                       shown[:, order], holes, GRID)
    torch.testing.assert_close(shuffled, tokens, rtol=1e-4, atol=1e-4)
    # but a place is a place
    assert not torch.allclose(decoder(visible, shown[:, order], holes, GRID), tokens, atol=1e-3)


def test_a_query_of_cross_attention_sees_no_other_hole() -> None:
    decoder = build('CrossAttentionDecoder')
    queries, context = torch.randn(2, 8, WIDTH), torch.randn(2, 1 + VISIBLE, WIDTH)
    alone = decoder.decode(queries[:, :1], context)
    torch.testing.assert_close(decoder.decode(queries, context)[:, :1], alone)


def test_cross_attention_is_pytorchs() -> None:
    block = CrossAttentionBlock(WIDTH, 2, 48)
    attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([block.q.weight, block.kv.weight]))
        attention.in_proj_bias.copy_(torch.cat([block.q.bias, block.kv.bias]))
        attention.out_proj.load_state_dict(block.proj.state_dict())
    x, context = torch.randn(2, 5, WIDTH), torch.randn(2, 7, WIDTH)
    expected = x + attention(block.norm1(x), context, context)[0]
    expected = expected + block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(expected))))
    torch.testing.assert_close(block(x, context), expected)


@pytest.mark.parametrize('kind', KINDS)
def test_every_weight_learns(kind: str) -> None:
    decoder = build(kind)
    decoder(*inputs(), GRID).square().sum().backward()
    assert all(param.grad is not None and param.grad.any() for name, param in
               decoder.named_parameters() if 'k_bias' not in name)


@pytest.mark.parametrize('kind', KINDS)
def test_bfloat16_on_a_cpu_computes_the_same(kind: str) -> None:
    decoder = build(kind)
    with torch.no_grad():
        for param in decoder.parameters():
            param.normal_(std=0.2)
    given = inputs()
    expected = copy.deepcopy(decoder)(*given, GRID)
    with torch.autocast('cpu', torch.bfloat16):
        found = decoder(*given, GRID)
    torch.testing.assert_close(found.float(), expected, rtol=0.1, atol=0.1)


def test_the_embedding_is_maes() -> None:
    expected = build_2d_sincos_position_embedding(4, WIDTH, cls_token=False)
    torch.testing.assert_close(sincos_pos_embed((4, 4), WIDTH), expected.float())
    with pytest.raises(InputError, match='divisible by 4, not 22'):
        sincos_pos_embed((4, 4), 22)
