"""Weighted k-nearest-neighbour classification of frozen features."""

import torch
import torch.nn.functional as F


def knn_predict(train_features: torch.Tensor,
                train_labels: torch.Tensor,
                features: torch.Tensor,
                k: int = 20,
                temperature: float = 0.07,
                chunk_size: int = 1024) -> torch.Tensor:
    """Predicts by the labels of the most similar training features.

    Cosine similarity; each of the k neighbours votes with exp(similarity / temperature), as has
    become usual since instance discrimination (arXiv 1805.01978, section 3.4).

    Args:
        train_features: ``(N, C)``.
        train_labels: ``(N,)`` int64, from 0.
        features: ``(M, C)`` to classify.
        k: Neighbours; all of them if there are fewer.
        temperature: Of the votes.
        chunk_size: Features classified at once; bounds the memory to ``chunk_size * N``.

    Returns:
        ``(M,)`` int64 labels.
    """
    train_features = F.normalize(train_features, dim=-1)
    num_classes = int(train_labels.max()) + 1
    predictions = []
    for chunk in F.normalize(features, dim=-1).split(chunk_size):
        similarity, index = (chunk @ train_features.T).topk(min(k, len(train_features)))
        votes = torch.zeros(len(chunk), num_classes, device=chunk.device)
        votes.scatter_add_(1, train_labels[index], (similarity / temperature).exp())
        predictions.append(votes.argmax(dim=1))
    return torch.cat(predictions)
