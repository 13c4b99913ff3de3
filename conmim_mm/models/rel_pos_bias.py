"""Relative position bias of a patch grid with a class token, as in BEiT (arXiv 2106.08254)."""

import torch
from torch import nn

from .rel_pos_resize import resize_table
from .relation_index import cached_relation_index, num_relations


class RelativePositionBias(nn.Module):
    """A learnt number per head for every spatial offset between two tokens.

    Args:
        grid: Height and width of the patch grid the table is for, in patches.
        num_heads: Attention heads.
    """

    def __init__(self, grid: tuple[int, int], num_heads: int) -> None:
        super().__init__()
        self.grid = grid
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros(num_relations(grid), num_heads))

    def forward(self, grid: tuple[int, int]) -> torch.Tensor:
        """The table for a grid of another size, ``(num_relations(grid), heads)``."""
        return resize_table(self.relative_position_bias_table, self.grid, grid)


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
