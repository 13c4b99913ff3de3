"""A linear classifier on frozen features."""

import torch
import torch.nn.functional as F


def linear_probe_predict(train_features: torch.Tensor,
                         train_labels: torch.Tensor,
                         features: torch.Tensor,
                         weight_decay: float = 1e-3,
                         max_iter: int = 300) -> torch.Tensor:
    """Fits multinomial logistic regression on standardised features and predicts.

    Full-batch L-BFGS from zero weights: a convex problem, so the result has no randomness.

    Args:
        train_features: ``(N, C)``.
        train_labels: ``(N,)`` int64, from 0.
        features: ``(M, C)`` to classify.
        weight_decay: Half of it times the squared weights is added to the mean cross-entropy.
        max_iter: At most so many L-BFGS iterations.

    Returns:
        ``(M,)`` int64 labels.
    """
    mean, std = train_features.mean(dim=0), train_features.std(dim=0).clamp(min=1e-6)
    train_features = (train_features - mean) / std
    num_classes = int(train_labels.max()) + 1
    weight = torch.zeros(num_classes, train_features.shape[1], device=train_features.device)
    bias = torch.zeros(num_classes, device=train_features.device)
    params = [weight.requires_grad_(), bias.requires_grad_()]
    optimizer = torch.optim.LBFGS(
        params, max_iter=max_iter, tolerance_grad=1e-5, line_search_fn='strong_wolfe')

    def objective() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(train_features, weight, bias), train_labels)
        loss = loss + 0.5 * weight_decay * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(objective)
    with torch.no_grad():
        return F.linear((features - mean) / std, weight, bias).argmax(dim=1)
