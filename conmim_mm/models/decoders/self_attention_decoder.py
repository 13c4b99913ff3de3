"""Visible tokens and queries attend to each other, as in MAE's decoder (arXiv 2111.06377)."""

import torch
from mmpretrain.registry import MODELS
from torch import nn

from ..layers.attention_patterns import attend_to_all
from ..layers.block import NORM_EPS, Block
from .hole_decoder import HoleDecoder


@MODELS.register_module()
class SelfAttentionDecoder(HoleDecoder):
    """Transformer blocks on all tokens of the image.

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
            Block(embed_dims, num_heads, feedforward_channels or 4 * embed_dims,
                  layer_scale_init_value=0., drop_path_rate=0., grid=None)
            for _ in range(num_layers))
        self.norm = nn.LayerNorm(embed_dims, eps=NORM_EPS)

    def decode(self, queries: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        x = torch.cat([context, queries], dim=1)
        for block in self.blocks:
            x = block(x, attend_to_all)
        return self.norm(x[:, -queries.shape[1]:])
