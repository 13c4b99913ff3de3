"""Queries attend to the visible tokens alone, as in CrossMAE (arXiv 2401.14391)."""

import torch
from mmpretrain.registry import MODELS
from torch import nn

from ..layers.attention_patterns import attend
from ..layers.block import MLP, NORM_EPS
from .hole_decoder import HoleDecoder


class CrossAttentionBlock(nn.Module):
    """Pre-norm attention of queries to a context, and an MLP.

    Args:
        embed_dims: Width C.
        num_heads: Attention heads.
        feedforward_channels: Hidden width of the MLP.
    """

    def __init__(self, embed_dims: int, num_heads: int, feedforward_channels: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(embed_dims, eps=NORM_EPS)
        self.q = nn.Linear(embed_dims, embed_dims)
        self.kv = nn.Linear(embed_dims, 2 * embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.norm2 = nn.LayerNorm(embed_dims, eps=NORM_EPS)
        self.mlp = MLP(embed_dims, feedforward_channels)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """``(B, M, C)`` queries and ``(B, N, C)`` context to ``(B, M, C)``."""
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
                   for part in (self.q(self.norm1(x)), *self.kv(context).chunk(2, dim=-1)))
        attended = attend(q, k, v)
        x = x + self.proj(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


@MODELS.register_module()
class CrossAttentionDecoder(HoleDecoder):
    """Each hole asks the visible tokens, and no other hole: the cheapest of the decoders.

    Args:
        embed_dims: As in :class:`HoleDecoder`.
        num_heads: Attention heads.
        num_layers: Blocks.
        feedforward_channels: Hidden width of their MLPs; by default four times the width.
        init_cfg: As in MMEngine.
    """

    def __init__(self, embed_dims: int, num_heads: int, num_layers: int = 1,
                 feedforward_channels: int | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(embed_dims, init_cfg)
        self.blocks = nn.ModuleList(
            CrossAttentionBlock(embed_dims, num_heads, feedforward_channels or 4 * embed_dims)
            for _ in range(num_layers))
        self.norm = nn.LayerNorm(embed_dims, eps=NORM_EPS)

    def decode(self, queries: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            queries = block(queries, context)
        return self.norm(queries)
