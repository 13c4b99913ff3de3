"""Weighted k-nearest-neighbour classification of frozen features."""

import torch
import torch.nn.functional as F


def knn_predict(train_features: torch.Tensor,
                train_labels: torch.Tensor,
                features: torch.Tensor,
                k: int = 20,
                temperature: float = 0.07,
                chunk_size: int = 1024,
                train_chunk_size: int = 65536) -> torch.Tensor:
    """Predicts by the labels of the most similar training features.

    Cosine similarity; each of the k neighbours votes with exp(similarity / temperature), as has
    become usual since instance discrimination (arXiv 1805.01978, section 3.4). Works on the device
    of ``features``; the training features may lie elsewhere and come chunk by chunk.

    Args:
        train_features: ``(N, C)``.
        train_labels: ``(N,)`` int64, from 0.
        features: ``(M, C)`` to classify.
        k: Neighbours; all of them if there are fewer.
        temperature: Of the votes.
        chunk_size: Features classified at once.
        train_chunk_size: Training features compared with at once; the memory is bounded to
            ``chunk_size * train_chunk_size`` similarities and k neighbours of each feature.

    Returns:
        ``(M,)`` int64 labels.
    """
    queries = F.normalize(features, dim=-1).split(chunk_size)
    nearest = [(query.new_empty(len(query), 0), train_labels.new_empty(
        len(query), 0, device=query.device)) for query in queries]
    for references, labels in zip(train_features.split(train_chunk_size),
                                  train_labels.split(train_chunk_size), strict=True):
        references = F.normalize(references.to(features.device), dim=-1)
        labels = labels.to(features.device)
        nearest = [_nearer(found, query @ references.T, labels, k)
                   for found, query in zip(nearest, queries, strict=True)]
    num_classes = int(train_labels.max()) + 1
    predictions = []
    for similarity, labels in nearest:
        votes = torch.zeros(len(similarity), num_classes, device=similarity.device)
        votes.scatter_add_(1, labels, (similarity / temperature).exp())
        predictions.append(votes.argmax(dim=1))
    return torch.cat(predictions)


def _nearer(found: tuple[torch.Tensor, torch.Tensor], similarity: torch.Tensor,
            labels: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k nearest of those found so far and of further ones, and their labels."""
    similarity, index = similarity.topk(min(k, len(labels)))
    similarity = torch.cat([found[0], similarity], dim=1)
    labels = torch.cat([found[1], labels[index]], dim=1)
    similarity, index = similarity.topk(min(k, similarity.shape[1]))
    return similarity, labels.gather(1, index)
