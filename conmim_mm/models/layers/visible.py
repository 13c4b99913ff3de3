"""Moving tokens between all patches of an image and the visible or the masked ones alone."""

import torch

from ...errors import InputError


def count_visible(mask: torch.Tensor) -> int:
    """How many patches of each image are visible.

    Args:
        mask: ``(B, L)`` bool, True = masked.

    Raises:
        InputError: Not as many in each image, none, or all.
    """
    counts = sorted(set((~mask).sum(dim=1).tolist()))
    if len(counts) > 1 or not 0 < counts[0] < mask.shape[1]:
        raise InputError(
            f'of the {mask.shape[1]} patches of each image {", ".join(map(str, counts))} are '
            'visible; a decoder needs as many in each, at least one, and a masked one: mask with '
            'RandomPatchMask or BlockPatchMask, a smaller share, or take larger views (--img-size)')
    return counts[0]


def split_positions(mask: torch.Tensor, num_visible: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions of the visible and of the masked patches.

    Args:
        mask: ``(B, L)`` bool, True = masked.
        num_visible: V, of each row (:func:`count_visible`).

    Returns:
        ``(B, V)`` and ``(B, L - V)`` int64, ascending in each row.
    """
    order = mask.byte().argsort(dim=1, stable=True)
    return order[:, :num_visible], order[:, num_visible:]


def draw_columns(positions: torch.Tensor, share: float) -> torch.Tensor:
    """A share of the entries of each row of ``(B, M)``, drawn without replacement, at least one."""
    count = max(1, round(share * positions.shape[1]))
    drawn = torch.rand(positions.shape, device=positions.device).argsort(dim=1)[:, :count]
    return positions.gather(1, drawn)


def take(tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Tokens ``(B, K, C)`` at positions ``(B, K)`` of ``(B, L, C)`` or ``(1, L, C)``."""
    tokens = tokens.expand(len(positions), -1, -1)
    return tokens.gather(1, positions.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def put(tokens: torch.Tensor, positions: torch.Tensor, length: int) -> torch.Tensor:
    """:func:`take` the other way: ``(B, length, C)`` with ``(B, K, C)`` at positions, else 0."""
    empty = tokens.new_zeros(len(tokens), length, tokens.shape[-1])
    return empty.scatter(1, positions.unsqueeze(-1).expand_as(tokens), tokens)
