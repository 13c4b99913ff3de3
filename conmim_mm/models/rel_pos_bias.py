"""Relative position bias of a patch grid with a class token, as in BEiT (arXiv 2106.08254)."""

import torch
from torch import nn

# Relations without a spatial offset: class token to patch, patch to class token, class to itself.
NUM_CLASS_RELATIONS = 3


def num_relations(grid: tuple[int, int]) -> int:
    """Rows of the table for a ``(height, width)`` grid: all offsets and the class token's 3."""
    height, width = grid
    return (2 * height - 1) * (2 * width - 1) + NUM_CLASS_RELATIONS


def relation_index(grid: tuple[int, int]) -> torch.Tensor:
    """Row of the table for every pair of tokens.

    Args:
        grid: Height and width of the patch grid, in patches.

    Returns:
        ``(1 + L, 1 + L)`` int64, L = height * width. Entry ``[i, j]`` is the row for query token i
        and key token j, token 0 being the class token. Row-major over (dy, dx), dy and dx counted
        from the most negative offset, then the three class relations.
    """
    height, width = grid
    rows, cols = (torch.arange(n) for n in grid)
    y = rows.repeat_interleave(width)
    x = cols.repeat(height)
    dy = y[:, None] - y[None, :] + height - 1
    dx = x[:, None] - x[None, :] + width - 1

    class_to_patch = num_relations(grid) - NUM_CLASS_RELATIONS
    index = torch.empty((1 + height * width,) * 2, dtype=torch.int64)
    index[1:, 1:] = dy * (2 * width - 1) + dx
    index[0, :] = class_to_patch
    index[:, 0] = class_to_patch + 1
    index[0, 0] = class_to_patch + 2
    return index


class RelativePositionBias(nn.Module):
    """A learnt number per head for every spatial offset between two tokens.

    Args:
        grid: Height and width of the patch grid, in patches.
        num_heads: Attention heads.
    """

    def __init__(self, grid: tuple[int, int], num_heads: int) -> None:
        super().__init__()
        self.grid = grid
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros(num_relations(grid), num_heads))
        self.register_buffer('relation_index', relation_index(grid), persistent=False)

    def forward(self) -> torch.Tensor:
        """Returns the bias of every pair of tokens, ``(num_heads, 1 + L, 1 + L)``."""
        num_tokens = self.relation_index.shape[0]
        bias = self.relative_position_bias_table[self.relation_index.flatten()]
        return bias.view(num_tokens, num_tokens, -1).permute(2, 0, 1)
