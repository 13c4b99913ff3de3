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
    similarity, index = nearest_neighbours(train_features, features, k, chunk_size,
                                           train_chunk_size)
    train_labels = train_labels.to(features.device)
    num_classes = int(train_labels.max()) + 1
    predictions = []
    for part, neighbours in zip(similarity.split(chunk_size), index.split(chunk_size), strict=True):
        votes = torch.zeros(len(part), num_classes, device=part.device)
        votes.scatter_add_(1, train_labels[neighbours], (part / temperature).exp())
        predictions.append(votes.argmax(dim=1))
    return torch.cat(predictions)


def nearest_neighbours(train_features: torch.Tensor, features: torch.Tensor, k: int = 20,
                       chunk_size: int = 1024, train_chunk_size: int = 65536
                       ) -> tuple[torch.Tensor, torch.Tensor]:
    """The most similar training features of each feature, in float32.

    Args:
        train_features: As for :func:`knn_predict`, of any floating type, and so are the others.
        features: ``(M, C)``.
        k: Neighbours.
        chunk_size: Features at once.
        train_chunk_size: Training features at once.

    Returns:
        Cosine similarities ``(M, k)``, the highest first, and the indices ``(M, k)`` of the
        training features that they are to.
    """
    queries = F.normalize(features.float(), dim=-1).split(chunk_size)
    nearest = [(query.new_empty(len(query), 0),
                torch.empty(len(query), 0, dtype=torch.int64, device=query.device))
               for query in queries]
    first = 0
    for references in train_features.split(train_chunk_size):
        references = F.normalize(references.to(features.device).float(), dim=-1)
        nearest = [_nearer(found, query @ references.T, first, k)
                   for found, query in zip(nearest, queries, strict=True)]
        first += len(references)
    similarity, index = zip(*nearest, strict=True)
    return torch.cat(similarity), torch.cat(index)


def _nearer(found: tuple[torch.Tensor, torch.Tensor], similarity: torch.Tensor, first: int, k: int
            ) -> tuple[torch.Tensor, torch.Tensor]:
    """The k nearest of those found so far and of further ones, which are counted from ``first``."""
    similarity, further = similarity.topk(min(k, similarity.shape[1]))
    similarity = torch.cat([found[0], similarity], dim=1)
    index = torch.cat([found[1], first + further], dim=1)
    similarity, order = similarity.topk(min(k, similarity.shape[1]))
    return similarity, index.gather(1, order)
