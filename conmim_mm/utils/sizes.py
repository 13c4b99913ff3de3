"""Sizes of images, patch grids, batches and samples, and the one-line errors if they do not fit."""

from collections.abc import Sequence

import numpy as np
import torch

from ..errors import InputError


def to_size(size: int | Sequence[int]) -> tuple[int, int]:
    """``(height, width)`` from a pair or from the side of a square.

    Raises:
        InputError: Not one or two positive ints.
    """
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
        raise InputError(f'a size must be one positive int or (height, width), but is {size!r}')
    return pair


def short_size(size: tuple[int, int]) -> int | tuple[int, int]:
    """As configs and results have it: the side of a square, otherwise ``(height, width)``."""
    return size[0] if size[0] == size[1] else size


def likely_grid(size: object, patch_size: int) -> tuple[int, int] | None:
    """The patch grid of images of a size that somebody's settings name; None where it is none.

    Args:
        size: As for :func:`to_size`, or anything else; in pixels.
        patch_size: In pixels.
    """
    try:
        height, width = to_size(size)
        return height // patch_size, width // patch_size
    except (InputError, ZeroDivisionError):
        return None


def divide_size(size: tuple[int, int], by: int, name: str, by_name: str) -> tuple[int, int]:
    """How many squares of side ``by`` fit down and across ``size``, both in pixels.

    Raises:
        InputError: They do not fit exactly; the message uses the two names.
    """
    if not isinstance(by, int) or by <= 0:
        raise InputError(f'{by_name} must be a positive int, but is {by!r}')
    height, width = size
    if height % by or width % by:
        raise InputError(f'{name}={height}x{width} (height x width) is not divisible by '
                         f'{by_name}={by}')
    return height // by, width // by


def batch_size_of(batch: object) -> int:
    """How many images a batch holds.

    Args:
        batch: As a loader gives it: a dict with ``inputs``, which are one value per image, stacked
            or in a list, or a dict of such.

    Returns:
        0 for anything else.
    """
    if isinstance(batch, dict) and batch:
        return batch_size_of(batch['inputs'] if 'inputs' in batch else next(iter(batch.values())))
    return len(batch) if isinstance(batch, torch.Tensor | list | tuple) else 0


def spread_indices(length: int, count: int) -> list[int]:
    """Up to ``count`` indices of a sequence, evenly spread from its first to its last."""
    return np.unique(np.linspace(0, length - 1, count).astype(int)).tolist() if length else []
