"""Whom a token attends to: the weights of one block's self-attention."""

import torch
import torch.nn.functional as F
from torch import nn

from ..models.backbones.conmim_vit import ConMIMViT, resolve_block_indices
from ..models.layers.attention_patterns import AttentionPattern
from ..utils.inspection import inspection

CLASS_TOKEN = 0


def attention_weights(backbone: ConMIMViT, images: torch.Tensor, block: int = -1) -> torch.Tensor:
    """The attention weights of a block.

    Args:
        backbone: Its mode stays as it is; the weights are those of eval mode.
        images: ``(B, 3, H, W)``, normalised.
        block: Index of the block; negative ones count from the end.

    Returns:
        ``(B, heads, 1 + L, 1 + L)``, class token first; row i says how the queries of token i
        divide their attention, and sums to 1. Position bias included.

    Raises:
        InputError: There is no such block.
    """
    index, = resolve_block_indices('block', block, backbone.num_layers)
    with inspection(backbone):
        patterns = backbone.attention_patterns(backbone.grid_of(images))
        x = backbone.embed_patches(images)
        for earlier, pattern in zip(backbone.blocks[:index], patterns, strict=False):
            x = earlier(x, pattern)
        chosen = backbone.blocks[index]
        return attention_probabilities(chosen.attn, chosen.norm1(x), patterns[index])


def attention_probabilities(attention: nn.Module, x: torch.Tensor, pattern: AttentionPattern
                            ) -> torch.Tensor:
    """The weights with which an attention mixes its values.

    Attention is linear in the values, so with the rows of a unit matrix as values its output is the
    weights themselves, by whichever fused kernel and within whichever windows they are computed.

    Args:
        attention: An :class:`Attention`.
        x: ``(B, N, C)``, what it is given.
        pattern: Who attends to whom.

    Returns:
        ``(B, heads, N, N)``.
    """
    q, k, _ = attention.project(x)
    num_tokens, width = q.shape[2:]
    unit = F.pad(torch.eye(num_tokens, device=q.device, dtype=q.dtype), (0, -num_tokens % width))
    # as many columns at a time as values are wide, since the kernels take all three alike
    columns = [pattern(q, k, part.expand_as(q), attention.rel_pos_bias)
               for part in unit.split(width, dim=1)]
    return torch.cat(columns, dim=-1)[..., :num_tokens]


def attention_maps(weights: torch.Tensor, query: int, grid: tuple[int, int]) -> torch.Tensor:
    """A query token's attention over the patches, in multiples of an even share.

    Args:
        weights: ``(..., 1 + L, 1 + L)`` of :func:`attention_weights`.
        query: Index of the token: 0 is the class token, 1 + i the patch i.
        grid: Height and width of the patch grid.

    Returns:
        ``(..., h, w)``: 1 where a patch gets as much as if all tokens got the same.
    """
    return weights[..., query, 1:].unflatten(-1, grid) * weights.shape[-1]
