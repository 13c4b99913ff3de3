"""Who attends to whom: all tokens to all, in chunks of queries, or within windows.

A pattern is made once per forward pass of the backbone and used by all blocks that attend alike, so
what they share (the shared table's bias) is gathered once. Each is called as
``pattern(q, k, v, own)`` with q, k, v ``(B, heads, 1 + L, d)``, class token first, and ``own`` the
block's own :class:`RelativePositionBias` or None, and returns ``(B, heads, 1 + L, d)``.
"""

from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from .rel_pos_bias import (
    RelativePositionBias,
    bias_matrix,
    cached_relative_position_index,
    crop_table,
    gather_bias,
    is_free,
    relative_position_index,
)

AttentionPattern = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, RelativePositionBias | None], torch.Tensor]

# Above it the bias of all pairs of tokens would outweigh everything else: 12 heads and the 4097
# tokens of 1024 x 1024 pixels make 0.8 GB in float32, per block, and per image in the backward.
MAX_FULL_TOKENS = 2048
MAX_SCORED_KEYS = 1024  # of each query, whose scores may be held in memory for the backward
QUERY_CHUNK = 512
BIAS_ALIGNMENT = 8  # elements, of the rows of a bias on CUDA


def global_attention(grid: tuple[int, int],
                     shared: RelativePositionBias | None) -> AttentionPattern:
    """All tokens attend to all: at once where that is small, else by chunks of queries."""
    at_once = is_free(grid) or 1 + grid[0] * grid[1] <= MAX_FULL_TOKENS
    return (FullAttention if at_once else ChunkedAttention)(grid, shared)


class FullAttention:
    """All tokens attend to all, in one call.

    Args:
        grid: Height and width of the patch grid, in patches.
        shared: The table shared by all blocks, or None.
    """

    def __init__(self, grid: tuple[int, int], shared: RelativePositionBias | None) -> None:
        self.grid = grid
        self.shared = None if shared is None else align_bias(bias_matrix(shared(grid), grid))

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
                 own: RelativePositionBias | None) -> torch.Tensor:
        bias = None if own is None else bias_matrix(own(self.grid), self.grid)
        return _attend(q, k, v, _add(self.shared, bias))


class ChunkedAttention:
    """All tokens attend to all, some hundred queries at a time.

    The same result as :class:`FullAttention`; the bias exists for one chunk only, also in the
    backward pass, where each chunk is computed again.

    Args:
        grid: Height and width of the patch grid, in patches.
        shared: The table shared by all blocks, or None.
        chunk: Queries at a time.
    """

    def __init__(self, grid: tuple[int, int], shared: RelativePositionBias | None,
                 chunk: int = QUERY_CHUNK) -> None:
        self.grid = grid
        self.chunk = chunk
        self.shared = None if shared is None else shared(grid)

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
                 own: RelativePositionBias | None) -> torch.Tensor:
        table = _add(self.shared, None if own is None else own(self.grid))
        if table is None:
            return _attend(q, k, v, None)
        needs_grad = torch.is_grad_enabled() and (q.requires_grad or table.requires_grad)
        outputs = []
        for start in range(0, q.shape[2], self.chunk):
            part = slice(start, start + self.chunk)
            arguments = (q[:, :, part], k, v, table, part)
            outputs.append(
                checkpoint(self._attend_chunk, *arguments, use_reentrant=False, preserve_rng_state=
                           False) if needs_grad else self._attend_chunk(*arguments))
        return torch.cat(outputs, dim=2)

    def _attend_chunk(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
                      table: torch.Tensor, part: slice) -> torch.Tensor:
        index = relative_position_index(self.grid, part).to(table.device)
        return _attend(q, k, v, gather_bias(table.to(q.dtype), index))


class VisibleAttention:
    """The visible patches and the class token attend to each other, in each image its own.

    Args:
        grid: Height and width of the whole patch grid, in patches.
        shared: The table shared by all blocks, or None.
        visible: ``(B, V)`` int64, positions of the visible patches (:func:`split_positions`).
    """

    def __init__(self, grid: tuple[int, int], shared: RelativePositionBias | None,
                 visible: torch.Tensor) -> None:
        self.grid = grid
        tokens = F.pad(visible + 1, (1, 0))  # class token first
        index = cached_relative_position_index(grid, visible.device)
        self.index = index[tokens.unsqueeze(2), tokens.unsqueeze(1)]
        self.shared = None if shared is None else align_bias(self._bias(shared))

    def _bias(self, table: RelativePositionBias) -> torch.Tensor:
        return gather_bias(table(self.grid), self.index)

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
                 own: RelativePositionBias | None) -> torch.Tensor:
        return _attend(q, k, v, _add(self.shared, None if own is None else self._bias(own)))


class WindowAttention:
    """Patches attend within windows; the class token takes part in every window.

    Windows are cut from the top left; those at the right and bottom edge are smaller, so nothing is
    padded and no mask is needed. The class token's output is its mean over the windows, each
    weighted with its number of patches. One window as large as the grid is full attention.

    Args:
        grid: Height and width of the patch grid, in patches.
        shared: The table shared by all blocks, or None.
        window: Side of a window, in patches; the tables are resized to it.
    """

    def __init__(self, grid: tuple[int, int], shared: RelativePositionBias | None,
                 window: int) -> None:
        self.grid = grid
        self.window = (window, window)
        # One entry per kind of window: the slices it covers and its height and width.
        self.regions = list(product(*(_cut(side, window) for side in grid)))
        self.shared = None if shared is None else self._matrices(shared)

    def _matrices(self, bias: RelativePositionBias) -> list[torch.Tensor]:
        table = bias(self.window)
        shapes = [(rows[1], cols[1]) for rows, cols in self.regions]
        return [bias_matrix(crop_table(table, self.window, shape), shape) for shape in shapes]

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
                 own: RelativePositionBias | None) -> torch.Tensor:
        nothing = [None] * len(self.regions)
        own_biases = nothing if own is None else self._matrices(own)
        height, width = self.grid
        class_token = torch.zeros_like(q[:, :, 0])
        patches = torch.empty_like(q[:, :, 1:]).unflatten(2, self.grid)
        for ((rows, h), (cols, w)), own_bias, shared_bias in zip(
                self.regions, own_biases, self.shared or nothing, strict=True):
            cut = [_to_windows(x, self.grid, rows, cols, h, w) for x in (q, k, v)]
            out = _attend(*cut, _add(shared_bias, own_bias))
            out = out.unflatten(0, (q.shape[0], -1))  # (B, windows, heads, 1 + h * w, d)
            share = h * w / (height * width)
            class_token = class_token + out[:, :, :, 0].sum(dim=1) * share
            patches[:, :, rows, cols] = _from_windows(out[:, :, :, 1:], rows, h, w)
        return torch.cat([class_token.unsqueeze(2), patches.flatten(2, 3)], dim=2)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
           bias: torch.Tensor | None = None) -> torch.Tensor:
    """Scaled dot-product attention, by whichever way is fast here.

    Args:
        q: ``(B, heads, queries, d)``.
        k: ``(B, heads, keys, d)``.
        v: As ``k``.
        bias: ``(B or 1, heads, queries, keys)``, or None.

    Returns:
        As ``q``.
    """
    if q.device.type == 'cpu' and q.dtype == torch.bfloat16 and k.shape[2] <= MAX_SCORED_KEYS:
        # backward through PyTorch's fused kernel takes several times as long (docs/performance.md)
        scores = q * q.shape[-1]**-0.5 @ k.transpose(-2, -1)
        return (scores if bias is None else scores + bias).softmax(dim=-1).type_as(v) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def attend_to_all(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
                  own: RelativePositionBias | None = None) -> torch.Tensor:
    """All tokens attend to all, without any bias."""
    return attend(q, k, v)


def align_bias(bias: torch.Tensor) -> torch.Tensor:
    """A bias that many blocks add, as the fused kernels of attention take it without a copy.

    PyTorch's memory-efficient kernel on CUDA copies, at every call, a bias whose strides are not
    multiples of 8 elements, or whose last dimension is not the dense one.

    Args:
        bias: ``(..., heads, queries, keys)``.

    Returns:
        The same values in the type that autocast computes in, rows padded in memory.
    """
    device = bias.device.type
    if torch.is_autocast_enabled(device):
        bias = bias.to(torch.get_autocast_dtype(device))
    keys = bias.shape[-1]
    return F.pad(bias, (0, -keys % BIAS_ALIGNMENT)).contiguous()[..., :keys]


def _attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
            bias: torch.Tensor | None) -> torch.Tensor:
    if bias is not None:
        bias = bias.to(q.dtype)
        bias = bias if bias.dim() == 4 else bias.unsqueeze(0)
    return attend(q, k, v, bias)


def _add(a: torch.Tensor | None, b: torch.Tensor | None) -> torch.Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _cut(side: int, window: int) -> list[tuple[slice, int]]:
    """The slice of whole windows and that of the rest, each with the side of its windows."""
    whole = side - side % window
    cuts = [(slice(0, whole), window), (slice(whole, side), side - whole)]
    return [(part, length) for part, length in cuts if part.start < part.stop]


def _to_windows(x: torch.Tensor, grid: tuple[int, int], rows: slice, cols: slice, h: int,
                w: int) -> torch.Tensor:
    """``(B, heads, 1 + L, d)`` to ``(B * windows, heads, 1 + h * w, d)``."""
    class_token, patches = x[:, :, :1], x[:, :, 1:].unflatten(2, grid)[:, :, rows, cols]
    patches = patches.unflatten(3, (-1, w)).unflatten(2, (-1, h))  # (B, heads, ny, h, nx, w, d)
    patches = patches.permute(0, 2, 4, 1, 3, 5, 6).flatten(4, 5).flatten(1, 2)
    class_token = class_token.unsqueeze(1).expand(-1, patches.shape[1], -1, -1, -1)
    return torch.cat([class_token, patches], dim=3).flatten(0, 1)


def _from_windows(x: torch.Tensor, rows: slice, h: int, w: int) -> torch.Tensor:
    """``(B, windows, heads, h * w, d)`` to ``(B, heads, rows, cols, d)``."""
    x = x.unflatten(3, (h, w)).unflatten(1, ((rows.stop - rows.start) // h, -1))
    return x.permute(0, 3, 1, 4, 2, 5, 6).flatten(4, 5).flatten(2, 3)
