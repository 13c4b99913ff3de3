"""The transformer block of BEiT's ViT (arXiv 2106.08254), which ConMIM uses unchanged."""

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import nn

from .attention_patterns import AttentionPattern
from .rel_pos_bias import RelativePositionBias

NORM_EPS = 1e-6


class Attention(nn.Module):
    """Multi-head self-attention with biases for q and v but none for k.

    Args:
        embed_dims: Width C.
        num_heads: Heads; must divide C.
        grid: Patch grid of a relative position bias of its own, or None if the bias comes from
            outside or there is none.
        rel_pos_init_slope: Of that bias, as in :class:`RelativePositionBias`.
    """

    def __init__(self, embed_dims: int, num_heads: int, grid: tuple[int, int] | None = None,
                 rel_pos_init_slope: float = 0.) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(embed_dims))
        self.v_bias = nn.Parameter(torch.zeros(embed_dims))
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.rel_pos_bias = (
            RelativePositionBias(grid, num_heads, rel_pos_init_slope) if grid else None)

    def forward(self, x: torch.Tensor, pattern: AttentionPattern) -> torch.Tensor:
        """Attends among the tokens that the pattern brings together.

        Args:
            x: ``(B, 1 + L, C)``, class token first.
            pattern: One of :mod:`attention_patterns`, made for this grid.

        Returns:
            ``(B, 1 + L, C)``.
        """
        x = pattern(*self.project(x), self.rel_pos_bias)
        return self.proj(x.transpose(1, 2).flatten(2))

    def project(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values of ``(B, 1 + L, C)``, each ``(B, heads, 1 + L, d)``."""
        B, N, _ = x.shape
        qkv_bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        qkv = F.linear(x, self.qkv.weight, qkv_bias)
        q, k, v = qkv.view(B, N, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        return q, k, v


class MLP(nn.Module):
    """Two linear layers with GELU between: ``(B, N, C)`` to ``(B, N, C)``."""

    def __init__(self, embed_dims: int, feedforward_channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dims, feedforward_channels)
        self.fc2 = nn.Linear(feedforward_channels, embed_dims)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm attention and MLP, each with layer scale and drop path.

    Args:
        embed_dims: Width C.
        num_heads: Attention heads.
        feedforward_channels: Hidden width of the MLP.
        layer_scale_init_value: Start value of the learnt per-channel scales; 0 leaves them out.
        drop_path_rate: Probability of skipping a branch, per sample, in training.
        grid: Patch grid of the block's own relative position bias, or None.
        rel_pos_init_slope: As in :class:`Attention`.
        norm_eps: Epsilon of both LayerNorms.
    """

    def __init__(self, embed_dims: int, num_heads: int, feedforward_channels: int,
                 layer_scale_init_value: float, drop_path_rate: float,
                 grid: tuple[int, int] | None, rel_pos_init_slope: float = 0.,
                 norm_eps: float = NORM_EPS) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dims, eps=norm_eps)
        self.attn = Attention(embed_dims, num_heads, grid, rel_pos_init_slope)
        self.norm2 = nn.LayerNorm(embed_dims, eps=norm_eps)
        self.mlp = MLP(embed_dims, feedforward_channels)
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()
        self.gamma_1 = self.gamma_2 = None
        if layer_scale_init_value:
            self.gamma_1 = nn.Parameter(layer_scale_init_value * torch.ones(embed_dims))
            self.gamma_2 = nn.Parameter(layer_scale_init_value * torch.ones(embed_dims))

    def forward(self, x: torch.Tensor, pattern: AttentionPattern) -> torch.Tensor:
        """``(B, 1 + L, C)`` to ``(B, 1 + L, C)``; ``pattern`` as in :class:`Attention`."""
        attended = self.attn(self.norm1(x), pattern)
        x = x + self.drop_path(_scale(attended, self.gamma_1))
        return x + self.drop_path(_scale(self.mlp(self.norm2(x)), self.gamma_2))


def _scale(x: torch.Tensor, gamma: torch.Tensor | None) -> torch.Tensor:
    return x if gamma is None else gamma * x
