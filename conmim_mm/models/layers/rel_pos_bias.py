"""Relative position bias of a patch grid with a class token, as in BEiT (arXiv 2106.08254)."""

import torch
from torch import nn

from ..rel_pos_resize import resize_table
from ..relation_index import cached_relation_index, num_relations


class RelativePositionBias(nn.Module):
    """A learnt number per head for every spatial offset between two tokens.

    Args:
        grid: Height and width of the patch grid the table is for, in patches.
        num_heads: Attention heads.
        init_slope: How much the bias starts to fall per patch of distance (:func:`sloping_table`);
            0 as in the original implementation.
    """

    def __init__(self, grid: tuple[int, int], num_heads: int, init_slope: float = 0.) -> None:
        super().__init__()
        self.grid = grid
        self.relative_position_bias_table = nn.Parameter(
            sloping_table(grid, num_heads, init_slope))

    def forward(self, grid: tuple[int, int]) -> torch.Tensor:
        """The table for a grid of another size, ``(num_relations(grid), heads)``."""
        return resize_table(self.relative_position_bias_table, self.grid, grid)


def sloping_table(grid: tuple[int, int], num_heads: int, slope: float) -> torch.Tensor:
    """A table that falls with the distance of two patches: near ones are attended to first.

    Ours, after ALiBi (arXiv 2108.12409) on two axes: it tells holes apart before anything is
    learnt, which a table of zeros does not.

    Args:
        grid: Height and width of the patch grid, in patches.
        num_heads: Heads; their slopes fall geometrically to an eighth.
        slope: Fall per patch of Euclidean distance in the first head.

    Returns:
        ``(num_relations(grid), num_heads)``; the class token's relations are 0.
    """
    dy, dx = (torch.arange(1 - side, side, dtype=torch.float32) for side in grid)
    distances = torch.hypot(*torch.meshgrid(dy, dx, indexing='ij')).flatten()
    slopes = slope * torch.logspace(0, -3, num_heads, base=2)
    table = torch.zeros(num_relations(grid), num_heads)
    table[:len(distances)] -= distances[:, None] * slopes
    return table


def gather_bias(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The bias of pairs of tokens.

    Args:
        table: ``(relations, heads)``.
        index: ``(queries, keys)`` int64, rows of the table.

    Returns:
        ``(heads, queries, keys)``.
    """
    return table[index.flatten()].view(*index.shape, -1).permute(2, 0, 1)


def bias_matrix(table: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """The bias of every pair of a grid's tokens, ``(heads, 1 + L, 1 + L)``.

    Args:
        table: ``(num_relations(grid), heads)``.
        grid: Height and width of the grid, in patches.
    """
    return gather_bias(table, cached_relation_index(grid, table.device))
