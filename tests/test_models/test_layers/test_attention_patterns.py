from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from conmim_mm.models.layers import attention_patterns
from conmim_mm.models.layers.attention_patterns import (
    ChunkedAttention,
    FullAttention,
    WindowAttention,
    global_attention,
)
from conmim_mm.models.layers.rel_pos_bias import (
    RelativePositionBias,
    bias_matrix,
    resize_table,
)

HEADS, WIDTH = 2, 8


def tables(shared: bool, own: bool, grid: tuple[int, int] = (4, 4)) -> list:
    biases = []
    for wanted in (shared, own):
        bias = RelativePositionBias(grid, HEADS) if wanted else None
        if bias is not None:
            torch.nn.init.normal_(bias.relative_position_bias_table)
        biases.append(bias)
    return biases


def tokens(grid: tuple[int, int], batch: int = 2) -> list[torch.Tensor]:
    num = 1 + grid[0] * grid[1]
    return [torch.randn(batch, HEADS, num, WIDTH, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize('shared, own', [(False, False), (True, False), (False, True),
                                         (True, True)])
@pytest.mark.parametrize('grid', [(4, 4), (5, 7)])
def test_chunks_equal_the_whole(grid: tuple[int, int], shared: bool, own: bool) -> None:
    shared, own = tables(shared, own)
    parameters = [bias.relative_position_bias_table for bias in (shared, own) if bias is not None]
    inputs = tokens(grid)
    results = []
    for pattern in (FullAttention(grid, shared), ChunkedAttention(grid, shared, chunk=5)):
        out = pattern(*inputs, own)
        grads = torch.autograd.grad(out.pow(2).sum(), inputs + parameters)
        results.append((out, *grads))
    for whole, chunked in zip(*results, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-4, atol=1e-5)


def test_large_grids_go_by_chunks(monkeypatch) -> None:
    assert isinstance(global_attention((4, 4), None), FullAttention)
    assert isinstance(global_attention((64, 64), None), ChunkedAttention)
    monkeypatch.setattr(attention_patterns, 'MAX_FULL_TOKENS', 16)
    assert isinstance(global_attention((4, 4), None), ChunkedAttention)


@pytest.mark.parametrize('grid, window', [
    ((4, 4), 2), ((5, 7), 3), ((2, 9), 4),
    ((4, 4), 4), ((4, 4), 7), ((3, 4), 4)])  # one window over all
@pytest.mark.parametrize('is_shared', [True, False])
def test_windows_by_hand(grid: tuple[int, int], window: int, is_shared: bool) -> None:
    shared, own = tables(is_shared, not is_shared)
    q, k, v = inputs = tokens(grid)
    out = WindowAttention(grid, shared, window)(*inputs, own)

    table = (shared or own).relative_position_bias_table
    table = resize_table(table, (4, 4), (window, window))
    offsets = table[:-3].view(2 * window - 1, 2 * window - 1, HEADS)
    cls_expected = torch.zeros_like(out[:, :, 0])
    for top in range(0, grid[0], window):
        for left in range(0, grid[1], window):
            cells = [(y, x) for y in range(top, min(top + window, grid[0]))
                     for x in range(left, min(left + window, grid[1]))]
            index = [0, *(1 + y * grid[1] + x for y, x in cells)]
            bias = torch.empty(HEADS, len(index), len(index))
            bias[:, 0], bias[:, :, 0], bias[:, 0, 0] = (
                table[-3, :, None], table[-2, :, None], table[-1])
            for i, (y, x) in enumerate(cells, start=1):
                for j, (v_, u) in enumerate(cells, start=1):
                    bias[:, i, j] = offsets[y - v_ + window - 1, x - u + window - 1]
            scores = q[:, :, index] @ k[:, :, index].transpose(-2, -1) * WIDTH**-0.5 + bias
            expected = scores.softmax(-1) @ v[:, :, index]
            torch.testing.assert_close(out[:, :, index[1:]], expected[:, :, 1:])
            cls_expected = cls_expected + expected[:, :, 0] * len(cells) / (grid[0] * grid[1])
    torch.testing.assert_close(out[:, :, 0], cls_expected)


def test_chunked_attention_keeps_no_bias_for_the_backward_pass() -> None:
    """What autograd holds on to stays far below one matrix of all pairs."""
    grid = (24, 24)
    _, own = tables(False, True)
    held = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        held.append(tensor.numel())
        return tensor

    inputs = tokens(grid, batch=1)
    pairs = HEADS * (1 + 24 * 24)**2
    for pattern, bounded in ((FullAttention(grid, None), False),
                             (ChunkedAttention(grid, None, chunk=64), True)):
        held.clear()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            pattern(*inputs, own)
        assert (max(held) < pairs / 4) == bounded


@pytest.mark.parametrize('grid', [(4, 4), (3, 5), (5, 7)])  # 17, 16 and 36 tokens
@pytest.mark.parametrize('amp', [False, True])
def test_shared_bias_is_ready_for_fused_kernels(grid: tuple[int, int], amp: bool) -> None:
    """CUDA's memory-efficient kernel takes only this type and layout as it is."""
    shared, _ = tables(True, False, grid)
    with torch.autocast('cpu', torch.bfloat16, enabled=amp):
        ready = FullAttention(grid, shared).shared
    dtype = torch.bfloat16 if amp else torch.float32
    expected = bias_matrix(shared.relative_position_bias_table, grid).to(dtype)
    assert ready.dtype == dtype and torch.equal(ready, expected)
    *strides, last = ready.stride()
    assert last == 1 and all(stride % 8 == 0 for stride in strides)
    assert ready.data_ptr() % 16 == 0


def test_shared_bias_is_gathered_and_cast_once() -> None:
    """However many blocks attend with it."""
    grid = (4, 4)
    shared, _ = tables(True, False, grid)
    inputs = tokens(grid)

    class CountBiases(TorchDispatchMode):
        """Counts what makes a new tensor of the bias's size, kernels of attention aside."""

        def __init__(self) -> None:
            super().__init__()
            self.made = Counter()

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.shape == (HEADS, 17, 17) and (
                    not func.is_view and 'scaled_dot_product' not in func.name()):
                self.made[func.name()] += 1
            return out

    with CountBiases() as count, torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        pattern = FullAttention(grid, shared)
        before = Counter(count.made)
        for _ in range(3):
            q, k, v = (x.bfloat16() for x in inputs)
            pattern(q, k, v, None)
    assert before['aten::_to_copy'] == 1
    assert count.made == before
