"""Relative position bias of a patch grid with a class token, as in BEiT (arXiv 2106.08254)."""

from functools import lru_cache

import numpy as np
import torch
from torch import nn

from .tensor_cache import keep_tensors

# Relations without a spatial offset: class token to patch, patch to class token, class to itself.
NUM_CLASS_TOKEN_ROWS = 3

MAX_FREE_PATCHES = 64  # a side, of a grid whose size a graph leaves open

_SMALLEST_RATIO, _LARGEST_RATIO, _PRECISION = 1.01, 1.5, 1e-6


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
        """The table for a grid of another size, ``(num_relative_positions(grid), heads)``."""
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
        ``(num_relative_positions(grid), num_heads)``; the class token's relations are 0.
    """
    dy, dx = (torch.arange(1 - side, side, dtype=torch.float32) for side in grid)
    distances = torch.hypot(*torch.meshgrid(dy, dx, indexing='ij')).flatten()
    slopes = slope * torch.logspace(0, -3, num_heads, base=2)
    table = torch.zeros(num_relative_positions(grid), num_heads)
    table[:len(distances)] -= distances[:, None] * slopes
    return table


def gather_bias(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The bias of pairs of tokens.

    Args:
        table: ``(relations, heads)``.
        index: ``(..., queries, keys)`` int64, rows of the table.

    Returns:
        ``(..., heads, queries, keys)``.
    """
    return table[index.flatten()].view(*index.shape, -1).movedim(-1, -3)


def bias_matrix(table: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """The bias of every pair of a grid's tokens, ``(heads, 1 + L, 1 + L)``.

    Args:
        table: ``(num_relative_positions(grid), heads)``.
        grid: Height and width of the grid, in patches.
    """
    return gather_bias(table, cached_relative_position_index(grid, table.device))


def is_free(grid: tuple[int, int]) -> bool:
    """Whether ``torch.export`` is told to leave the size of the grid open."""
    return any(isinstance(side, torch.SymInt) for side in grid)


def num_relative_positions(grid: tuple[int, int]) -> int:
    """Rows of the table for a ``(height, width)`` grid: all offsets and the class token's 3."""
    height, width = grid
    return (2 * height - 1) * (2 * width - 1) + NUM_CLASS_TOKEN_ROWS


def relative_position_index(grid: tuple[int, int], queries: slice = slice(None)) -> torch.Tensor:
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
    y = torch.cat([rows[:1], rows[:, None].expand(-1, width).flatten()])
    x = torch.cat([cols[:1], cols.repeat(height)])
    dy = y[queries, None] - y + height - 1
    dx = x[queries, None] - x + width - 1
    index = dy * (2 * width - 1) + dx

    class_to_patch = num_relative_positions(grid) - NUM_CLASS_TOKEN_ROWS
    asked_by_class = torch.arange(1 + height * width)[queries, None] == 0
    return torch.cat([class_to_patch + 1 + asked_by_class.long(),
                      torch.where(asked_by_class, class_to_patch, index[:, 1:])], dim=1)


@keep_tensors(maxsize=16)
def cached_relative_position_index(grid: tuple[int, int], device: torch.device) -> torch.Tensor:
    """:func:`relative_position_index` of a whole grid on a device, kept for the grids used last."""
    return relative_position_index(grid).to(device)


def resize_table(table: torch.Tensor, grid: tuple[int, int],
                 new_grid: tuple[int, int]) -> torch.Tensor:
    """The table for another patch grid, differentiable in the table.

    The offsets of the old table are set on the axis of the new one at distances that grow
    geometrically, so near offsets keep their meaning and far ones are stretched; between them a
    bicubic spline is read, as in the original implementation. Each axis has its own ratio, so
    oblong grids fit too. The class token's relations stay.

    Args:
        table: ``(num_relative_positions(grid), heads)``.
        grid: Height and width the table is for, in patches.
        new_grid: Height and width wanted, in patches.

    Returns:
        ``(num_relative_positions(new_grid), heads)``; the table itself where the grids are equal.
    """
    if not is_free(new_grid) and grid == new_grid:
        return table
    offsets, class_relations = table[:-NUM_CLASS_TOKEN_ROWS], table[-NUM_CLASS_TOKEN_ROWS:]
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
        table: ``(num_relative_positions(grid), heads)``.
        grid: Height and width the table is for.
        new_grid: Height and width wanted, neither larger than ``grid``'s.

    Returns:
        ``(num_relative_positions(new_grid), heads)``.
    """
    if grid == new_grid:
        return table
    offsets, class_relations = table[:-NUM_CLASS_TOKEN_ROWS], table[-NUM_CLASS_TOKEN_ROWS:]
    rows, cols = (slice(old - new, old + new - 1) for old, new in zip(grid, new_grid, strict=True))
    offsets = offsets.unflatten(0, (2 * grid[0] - 1, 2 * grid[1] - 1))[rows, cols]
    return torch.cat([offsets.flatten(0, 1), class_relations])


def infer_table_grid(num_rows: int, likely: tuple[int, int] | None = None
                     ) -> tuple[int, int] | None:
    """The grid that a table of this length is for: the likely one if it fits, or a square one.

    None where neither fits.
    """
    if likely and num_relative_positions(likely) == num_rows:
        return likely
    side = (round((num_rows - NUM_CLASS_TOKEN_ROWS)**0.5) + 1) // 2 if num_rows > 3 else 0
    return (side, side) if side and num_relative_positions((side, side)) == num_rows else None


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


@keep_tensors(maxsize=64)
def _resize_matrix(patches: int, new_patches: int, device: torch.device) -> torch.Tensor:
    """What one axis of a table is multiplied by: ``(2 * new - 1, 2 * old - 1)`` float32."""
    if isinstance(new_patches, torch.SymInt):  # a graph can choose, but not find out by bisection
        matrices = torch.tensor(_all_spline_matrices(patches), dtype=torch.float32, device=device)
        return matrices[new_patches - 1, :2 * new_patches - 1]
    return torch.tensor(_spline_matrix(patches, new_patches), dtype=torch.float32, device=device)


def _spline_matrix(patches: int, new_patches: int) -> np.ndarray:
    """Splines are linear in their values, so resizing is a product with those through unit vectors.

    Gradients come for free.
    """
    size = 2 * patches - 1
    if patches == new_patches:
        return np.eye(size)
    from scipy.interpolate import make_interp_spline  # slow to import, and most runs resize nothing

    positions = geometric_positions(patches, new_patches)
    wanted = np.arange(1 - new_patches, new_patches, dtype=np.float64)
    # Bisection ends a hair inside or outside; nothing is read beyond the outermost offset.
    wanted = wanted.clip(positions[0], positions[-1])
    return make_interp_spline(positions, np.eye(size), k=min(3, size - 1))(wanted)


@lru_cache(maxsize=4)
def _all_spline_matrices(patches: int) -> np.ndarray:
    """Those for grids of 1 to 64 patches a side, each filled up with rows of 0."""
    return np.stack([
        np.pad(_spline_matrix(patches, side), ((0, 2 * (MAX_FREE_PATCHES - side)), (0, 0)))
        for side in range(1, MAX_FREE_PATCHES + 1)])
