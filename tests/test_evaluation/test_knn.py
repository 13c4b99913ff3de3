import math

import pytest
import torch

from conmim_mm.evaluation import knn_predict


def unit(degrees: float, length: float = 1.) -> list[float]:
    angle = math.radians(degrees)
    return [length * math.cos(angle), length * math.sin(angle)]


def naive(train: torch.Tensor, labels: torch.Tensor, features: torch.Tensor, k: int,
          temperature: float) -> list[int]:
    """Section 3.4 of arXiv 1805.01978, one image at a time."""
    predictions = []
    for feature in features.double():
        neighbours = sorted(
            ((float(feature @ other / (feature.norm() * other.norm())), int(label))
             for other, label in zip(train.double(), labels, strict=True)), reverse=True)[:k]
        votes = {}
        for similarity, label in neighbours:
            votes[label] = votes.get(label, 0.) + math.exp(similarity / temperature)
        predictions.append(max(votes, key=votes.get))
    return predictions


@pytest.mark.parametrize('k, temperature', [(1, 0.07), (5, 0.07), (20, 0.07), (20, 1.), (60, 0.3),
                                            (100, 0.07)])
def test_agrees_with_a_loop(k: int, temperature: float) -> None:
    train, labels = torch.randn(60, 5), torch.randint(0, 4, (60,))
    features = torch.randn(80, 5)
    expected = naive(train, labels, features, k, temperature)
    assert knn_predict(train, labels, features, k, temperature).tolist() == expected
    assert len(set(expected)) == 4


def test_defaults_are_20_neighbours_at_0_07() -> None:
    train, labels = torch.randn(100, 3), torch.randint(0, 5, (100,))
    features = torch.randn(200, 3)
    assert knn_predict(train, labels, features).tolist() == naive(
        train, labels, features, k=20, temperature=0.07)


def test_near_neighbours_weigh_more_and_the_temperature_says_how_much() -> None:
    # One neighbour of class 0 at similarity 1, two of class 1 at 0.5.
    train, labels = torch.tensor([unit(0), unit(60), unit(-60)]), torch.tensor([0, 1, 1])
    feature = torch.tensor([unit(0)])
    # e^(1/T) against 2 e^(0.5/T): equal at T = 0.5 / ln 2 = 0.721
    assert knn_predict(train, labels, feature, k=3, temperature=0.07).item() == 0
    assert knn_predict(train, labels, feature, k=3, temperature=0.71).item() == 0
    assert knn_predict(train, labels, feature, k=3, temperature=0.73).item() == 1


@pytest.mark.parametrize('chunk_size', [1, 7, 33, 34])
@pytest.mark.parametrize('train_chunk_size', [1, 3, 49, 50])
@pytest.mark.parametrize('k', [1, 20, 60])
def test_chunks_do_not_change_the_result(chunk_size: int, train_chunk_size: int, k: int) -> None:
    train, labels, features = torch.randn(50, 4), torch.randint(0, 3, (50,)), torch.randn(33, 4)
    expected = knn_predict(train, labels, features, k=k)
    assert expected.shape == (33,) and expected.dtype == torch.int64
    chunked = knn_predict(train, labels, features, k=k, chunk_size=chunk_size,
                          train_chunk_size=train_chunk_size)
    assert torch.equal(chunked, expected)
