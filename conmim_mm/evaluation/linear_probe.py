"""A linear classifier on frozen features."""

import torch
import torch.nn.functional as F


def linear_probe_predict(train_features: torch.Tensor,
                         train_labels: torch.Tensor,
                         features: torch.Tensor,
                         weight_decay: float = 1e-3,
                         max_iter: int = 300,
                         chunk_size: int = 16384) -> torch.Tensor:
    """Fits multinomial logistic regression on standardised features and predicts.

    Full-batch L-BFGS from zero weights: a convex problem, so the result has no randomness. Works on
    the device of ``features``; the training features may lie elsewhere and come chunk by chunk.

    Args:
        train_features: ``(N, C)``.
        train_labels: ``(N,)`` int64, from 0.
        features: ``(M, C)`` to classify.
        weight_decay: Half of it times the squared weights is added to the mean cross-entropy.
        max_iter: At most so many L-BFGS iterations.
        chunk_size: Features of which logits and gradient are computed at once; those of all chunks
            add up to the full batch's.

    Returns:
        ``(M,)`` int64 labels.
    """
    device = features.device
    mean = train_features.mean(dim=0).to(device)
    std = train_features.std(dim=0).clamp(min=1e-6).to(device)
    num_classes = int(train_labels.max()) + 1
    weight = torch.zeros(num_classes, train_features.shape[1], device=device)
    bias = torch.zeros(num_classes, device=device)
    params = [weight.requires_grad_(), bias.requires_grad_()]
    optimizer = torch.optim.LBFGS(
        params, max_iter=max_iter, tolerance_grad=1e-5, line_search_fn='strong_wolfe')
    chunks = [*zip(train_features.split(chunk_size), train_labels.split(chunk_size), strict=True)]

    def objective() -> torch.Tensor:
        optimizer.zero_grad()
        loss = 0.5 * weight_decay * weight.square().sum()
        loss.backward()
        total = loss.detach()
        for inputs, labels in chunks:
            # standardised anew each time, for a second copy of all would be as large as the first
            logits = F.linear((inputs.to(device) - mean) / std, weight, bias)
            loss = F.cross_entropy(logits, labels.to(device), reduction='sum') / len(train_labels)
            loss.backward()
            total = total + loss.detach()
        return total

    with torch.enable_grad():
        optimizer.step(objective)
    with torch.no_grad():
        return torch.cat([F.linear((chunk - mean) / std, weight, bias).argmax(dim=1)
                          for chunk in features.split(chunk_size)])
