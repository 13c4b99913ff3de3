"""A part of a labelled data set that has all classes in it."""

import torch


def balanced_indices(labels: torch.Tensor, count: int, seed: int = 0) -> torch.Tensor:
    """Draws images so that the classes have equal numbers, as far as they have images.

    Args:
        labels: ``(N,)`` int64.
        count: How many to draw; all of them if there are fewer.
        seed: The same seed draws the same images.

    Returns:
        Their indices, ascending, int64.
    """
    if count >= len(labels):
        return torch.arange(len(labels))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    by_class = order[labels[order].argsort(stable=True)]
    _, sizes = labels[by_class].unique_consecutive(return_counts=True)
    turn = torch.cat([torch.arange(size) for size in sizes])  # of an image within its class
    return by_class[turn.argsort(stable=True)[:count]].sort().values
