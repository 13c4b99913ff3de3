"""Relative position tables for other grids: BEiT's geometric resizing (arXiv 2106.08254)."""

from functools import lru_cache

import numpy as np
import torch

from .relation_index import NUM_CLASS_RELATIONS, num_relations

_SMALLEST_RATIO, _LARGEST_RATIO, _PRECISION = 1.01, 1.5, 1e-6


def resize_table(table: torch.Tensor, grid: tuple[int, int],
                 new_grid: tuple[int, int]) -> torch.Tensor:
    """The table for another patch grid, differentiable in the table.

    The offsets of the old table are set on the axis of the new one at distances that grow
    geometrically, so near offsets keep their meaning and far ones are stretched; between them a
    bicubic spline is read, as in the original implementation. Each axis has its own ratio, so
    oblong grids fit too. The class token's relations stay.

    Args:
        table: ``(num_relations(grid), heads)``.
        grid: Height and width the table is for, in patches.
        new_grid: Height and width wanted, in patches.

    Returns:
        ``(num_relations(new_grid), heads)``; the table itself where the grids are equal.
    """
    if grid == new_grid:
        return table
    offsets, class_relations = table[:-NUM_CLASS_RELATIONS], table[-NUM_CLASS_RELATIONS:]
    rows, cols = (_resize_matrix(old, new, table.device)
                  for old, new in zip(grid, new_grid, strict=True))
    offsets = offsets.unflatten(0, (2 * grid[0] - 1, 2 * grid[1] - 1))
    # Autocast would round positions that a spline tells apart by less.
    with torch.autocast(table.device.type, enabled=False):
        resized = torch.einsum('yv,vuh,xu->yxh', rows, offsets.float(), cols)
    return torch.cat([resized.flatten(0, 1).to(table.dtype), class_relations])


def crop_table(table: torch.Tensor, grid: tuple[int, int],
               new_grid: tuple[int, int]) -> torch.Tensor:
    """The part of a table that a smaller grid of the same patches needs.

    Args:
        table: ``(num_relations(grid), heads)``.
        grid: Height and width the table is for.
        new_grid: Height and width wanted, neither larger than ``grid``'s.

    Returns:
        ``(num_relations(new_grid), heads)``.
    """
    if grid == new_grid:
        return table
    offsets, class_relations = table[:-NUM_CLASS_RELATIONS], table[-NUM_CLASS_RELATIONS:]
    rows, cols = (slice(old - new, old + new - 1) for old, new in zip(grid, new_grid, strict=True))
    offsets = offsets.unflatten(0, (2 * grid[0] - 1, 2 * grid[1] - 1))[rows, cols]
    return torch.cat([offsets.flatten(0, 1), class_relations])


def infer_square_grid(num_rows: int) -> tuple[int, int] | None:
    """The square grid that a table of this length is for, or None if there is none."""
    side = (round((num_rows - NUM_CLASS_RELATIONS)**0.5) + 1) // 2 if num_rows > 3 else 0
    return (side, side) if side and num_relations((side, side)) == num_rows else None


def geometric_positions(patches: int, new_patches: int) -> np.ndarray:
    """Where the offsets ``-(patches - 1) .. patches - 1`` lie on the axis of a longer grid.

    The ratio of neighbouring distances is found by bisection between 1.01 and 1.5 such that the
    outermost offset comes to lie on the new outermost one, as in the original implementation.

    Returns:
        ``(2 * patches - 1,)`` float64, symmetric about 0.
    """
    low, high = _SMALLEST_RATIO, _LARGEST_RATIO
    while high - low > _PRECISION:
        ratio = (low + high) / 2
        reach = (1 - ratio**(patches - 1)) / (1 - ratio)
        if reach > new_patches - 1:
            high = ratio
        else:
            low = ratio
    distances = np.cumsum(ratio**np.arange(patches - 1))
    return np.concatenate([-distances[::-1], [0.], distances])


@lru_cache(maxsize=64)
def _resize_matrix(patches: int, new_patches: int, device: torch.device) -> torch.Tensor:
    """What one axis of a table is multiplied by: ``(2 * new - 1, 2 * old - 1)`` float32.

    Splines are linear in their values, so resizing is a product with the splines through unit
    vectors, and gradients come for free.
    """
    size = 2 * patches - 1
    if patches == new_patches:
        return torch.eye(size, device=device)
    from scipy.interpolate import make_interp_spline  # slow to import, and most runs resize nothing

    positions = geometric_positions(patches, new_patches)
    wanted = np.arange(1 - new_patches, new_patches, dtype=np.float64)
    # Bisection ends a hair inside or outside; nothing is read beyond the outermost offset.
    wanted = wanted.clip(positions[0], positions[-1])
    spline = make_interp_spline(positions, np.eye(size), k=min(3, size - 1))
    return torch.tensor(spline(wanted), dtype=torch.float32, device=device)
