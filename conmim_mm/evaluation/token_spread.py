"""How much tokens differ from one another."""

from typing import NamedTuple

import torch

from .tokens import effective_count


class TokenSpread(NamedTuple):
    """Result of :func:`token_spread`.

    Attributes:
        shared: Length of the mean token over the mean length of a token: 1 if all tokens are the
            same vector, near 0 if they point everywhere.
        rank: Effective rank of the tokens' covariance, from 1 to their width C: in how many
            directions they differ.
    """

    shared: float
    rank: float


def token_spread(tokens: torch.Tensor) -> TokenSpread:
    """Measures what tokens have in common and in how many directions they differ.

    The effective rank is the exponential of the entropy of the covariance's eigenvalues, taken as
    shares of their sum (Roy and Vetterli, EUSIPCO 2007); the covariance is that of the tokens less
    their mean.

    Args:
        tokens: ``(N, C)`` floats, N at least 2, not all of them equal.
    """
    tokens = tokens.double()
    mean = tokens.mean(dim=0)
    centred = tokens - mean
    variances = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0)
    return TokenSpread(
        shared=(mean.norm() / tokens.norm(dim=1).mean()).item(),
        rank=effective_count(variances).item())
