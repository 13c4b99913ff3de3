"""A linear classifier on frozen features."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F


class LinearProbe(NamedTuple):
    """A classifier of features that it standardises.

    Attributes:
        weight: ``(K, C)``.
        bias: ``(K,)``.
        mean: ``(C,)``, of the training features.
        std: ``(C,)``, likewise.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor

    def scores(self, features: torch.Tensor) -> torch.Tensor:
        """Logits ``(M, K)`` of features ``(M, C)`` on the device of the probe."""
        return F.linear((features - self.mean) / self.std, self.weight, self.bias)


def linear_probe_predict(train_features: torch.Tensor,
                         train_labels: torch.Tensor,
                         features: torch.Tensor,
                         weight_decay: float = 1e-3,
                         max_iter: int = 300,
                         chunk_size: int = 16384) -> torch.Tensor:
    """Fits multinomial logistic regression on standardised features and predicts.

    Args:
        train_features: ``(N, C)``.
        train_labels: ``(N,)`` int64, from 0.
        features: ``(M, C)`` to classify, on the device to work on.
        weight_decay: As for :func:`fit_linear_probe`.
        max_iter: Likewise.
        chunk_size: Likewise.

    Returns:
        ``(M,)`` int64 labels.
    """
    probe = fit_linear_probe(train_features, train_labels, features.device, weight_decay, max_iter,
                             chunk_size)
    with torch.no_grad():
        return torch.cat([probe.scores(chunk).argmax(dim=1)
                          for chunk in features.split(chunk_size)])


def fit_linear_probe(train_features: torch.Tensor,
                     targets: torch.Tensor,
                     device: torch.device,
                     weight_decay: float = 1e-3,
                     max_iter: int = 300,
                     chunk_size: int = 16384) -> LinearProbe:
    """Fits multinomial logistic regression on standardised features.

    Full-batch L-BFGS from zero weights: a convex problem, so the result has no randomness. The
    training features may lie elsewhere than on the device and come to it chunk by chunk.

    Args:
        train_features: ``(N, C)``, of any floating type.
        targets: Labels ``(N,)`` int64, from 0; or ``(N, K)`` of any floating type, how much each
            class counts for a feature.
        device: To work on.
        weight_decay: Half of it times the squared weights is added to the mean cross-entropy.
        max_iter: At most so many L-BFGS iterations.
        chunk_size: Features of which logits and gradient are computed at once; those of all chunks
            add up to the full batch's.
    """
    mean, std = (moment.to(device) for moment in _moments(train_features, chunk_size))
    are_labels = not targets.is_floating_point()
    num_classes = int(targets.max()) + 1 if are_labels else targets.shape[1]
    weighed = len(targets) if are_labels else sum(
        part.float().sum().item() for part in targets.split(chunk_size))
    weight = torch.zeros(num_classes, train_features.shape[1], device=device)
    bias = torch.zeros(num_classes, device=device)
    params = [weight.requires_grad_(), bias.requires_grad_()]
    optimizer = torch.optim.LBFGS(
        params, max_iter=max_iter, tolerance_grad=1e-5, line_search_fn='strong_wolfe')
    chunks = [*zip(train_features.split(chunk_size), targets.split(chunk_size), strict=True)]

    def objective() -> torch.Tensor:
        optimizer.zero_grad()
        loss = 0.5 * weight_decay * weight.square().sum()
        loss.backward()
        total = loss.detach()
        for inputs, wanted in chunks:
            # standardised anew each time, for a second copy of all would be as large as the first
            logits = F.linear((inputs.to(device).float() - mean) / std, weight, bias)
            wanted = wanted.to(device) if are_labels else wanted.to(device).float()
            loss = F.cross_entropy(logits, wanted, reduction='sum') / weighed
            loss.backward()
            total = total + loss.detach()
        return total

    with torch.enable_grad():
        optimizer.step(objective)
    return LinearProbe(weight.detach(), bias.detach(), mean, std)


def _moments(features: torch.Tensor, chunk_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation ``(C,)`` float32; no copy of all in another type is made."""
    def total(values: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        # added in float64 on the CPU, as not every device has it
        return sum(values(chunk.float()).sum(dim=0).cpu().double()
                   for chunk in features.split(chunk_size))

    mean = (total(lambda chunk: chunk) / len(features)).float()
    own = mean.to(features.device)
    variance = total(lambda chunk: (chunk - own).square()) / max(len(features) - 1, 1)
    return mean, variance.sqrt().clamp(min=1e-6).float()
