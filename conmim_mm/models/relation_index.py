"""Which row of a relative position table belongs to which pair of tokens, as in BEiT."""

from functools import lru_cache

import torch

# Relations without a spatial offset: class token to patch, patch to class token, class to itself.
NUM_CLASS_RELATIONS = 3


def num_relations(grid: tuple[int, int]) -> int:
    """Rows of the table for a ``(height, width)`` grid: all offsets and the class token's 3."""
    height, width = grid
    return (2 * height - 1) * (2 * width - 1) + NUM_CLASS_RELATIONS


def relation_index(grid: tuple[int, int], queries: slice = slice(None)) -> torch.Tensor:
    """Row of the table for every pair of tokens.

    Args:
        grid: Height and width of the patch grid, in patches.
        queries: Which tokens ask; by default all.

    Returns:
        ``(queries, 1 + L)`` int64, L = height * width. Entry ``[i, j]`` is the row for query token
        i and key token j, token 0 being the class token. Row-major over (dy, dx), dy and dx counted
        from the most negative offset, then the three class relations.
    """
    height, width = grid
    rows, cols = (torch.arange(n) for n in grid)
    # The class token stands at the first patch until its relations are put in.
    y = torch.cat([rows[:1], rows.repeat_interleave(width)])
    x = torch.cat([cols[:1], cols.repeat(height)])
    dy = y[queries, None] - y + height - 1
    dx = x[queries, None] - x + width - 1
    index = dy * (2 * width - 1) + dx

    class_to_patch = num_relations(grid) - NUM_CLASS_RELATIONS
    asked_by_class = torch.arange(len(y))[queries] == 0
    index[:, 0] = class_to_patch + 1 + asked_by_class.long()
    index[:, 1:] = torch.where(asked_by_class[:, None], class_to_patch, index[:, 1:])
    return index


@lru_cache(maxsize=16)
def cached_relation_index(grid: tuple[int, int], device: torch.device) -> torch.Tensor:
    """:func:`relation_index` of a whole grid on a device, kept for the grids used last."""
    return relation_index(grid).to(device)
