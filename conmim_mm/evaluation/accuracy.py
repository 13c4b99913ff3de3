"""Accuracy on held-out images, with its statistical error."""

from dataclasses import dataclass

import torch

from .knn import knn_predict
from .linear_probe import linear_probe_predict


@dataclass(frozen=True)
class Accuracy:
    """Share of right predictions on a held-out set.

    Attributes:
        value: Between 0 and 1.
        num_images: Size of the held-out set.
    """

    value: float
    num_images: int

    @property
    def standard_error(self) -> float:
        """Standard error of the share over sets of this size."""
        return (self.value * (1 - self.value) / self.num_images)**0.5


def evaluate_features(train: tuple[torch.Tensor, torch.Tensor],
                      held_out: tuple[torch.Tensor, torch.Tensor],
                      k: int = 20) -> dict[str, Accuracy]:
    """k-NN and linear-probe accuracy of frozen features.

    Args:
        train: Features ``(N, C)`` and labels ``(N,)`` to learn from.
        held_out: Features ``(M, C)`` and labels ``(M,)`` to be right about, on the device to work
            on; those to learn from may lie elsewhere.
        k: Neighbours of k-NN.

    Returns:
        ``knn`` and ``linear``.
    """
    features, labels = held_out
    predictions = dict(knn=knn_predict(*train, features, k),
                       linear=linear_probe_predict(*train, features))
    return {name: Accuracy((found == labels).float().mean().item(), len(labels))
            for name, found in predictions.items()}
