"""Whether projected tokens still differ: the signs of a collapse."""

import torch
import torch.nn.functional as F

# A batch norm brings tokens that differ to a mean square of 1 per channel; of tokens that are all
# alike it leaves this or less, and their direction is rounding.
ROUNDING = 1e-3


def mean_similarity(tokens: torch.Tensor) -> float:
    """Mean cosine similarity of all pairs of tokens of an image, the mean over the images.

    A token with itself is a pair too, so L tokens that are orthogonal have 1 / L. Tokens too short
    to have a direction count as alike.

    Args:
        tokens: ``(B, L, D)``, of any floating type.

    Returns:
        From 0 to 1, the latter if the tokens of every image are alike; NaN if a token is not
        finite.
    """
    tokens = tokens.float()
    if tokens.square().mean() < ROUNDING**2:
        return 1.
    # the mean over all pairs of products is the square of the mean
    return F.normalize(tokens, dim=-1).mean(dim=1).square().sum(dim=-1).mean().item()


def effective_rank(tokens: torch.Tensor, max_tokens: int = 4096) -> float:
    """In how many directions tokens point: exp of the entropy of their singular values.

    The singular values are taken as shares of their sum (RankMe, arXiv 2210.02885). In float64,
    from the eigenvalues of the D x D matrix of the tokens' products.

    Args:
        tokens: ``(..., D)``, of any floating type.
        max_tokens: Of more tokens than this, so many are taken evenly.

    Returns:
        From 1, for tokens along one line, to D; NaN if a token is not finite or all are 0.
    """
    tokens = tokens.flatten(0, -2)
    if len(tokens) > max_tokens:
        chosen = torch.linspace(0, len(tokens) - 1, max_tokens, device=tokens.device)
        tokens = tokens[chosen.long()]
    tokens = tokens.double()
    if not tokens.isfinite().all():
        return float('nan')
    singular = torch.linalg.eigvalsh(tokens.T @ tokens).clamp(min=0).sqrt()
    shares = singular / singular.sum()
    return (-torch.xlogy(shares, shares).sum()).exp().item()
