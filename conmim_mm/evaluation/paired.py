"""Two judgements of the same held-out images: is one better, or is it chance?"""

from typing import NamedTuple

import torch
from scipy.stats import binomtest


class PairedDifference(NamedTuple):
    """How much more often one of two was right on the same images.

    Attributes:
        value: Difference of the shares, from -1 to 1.
        standard_error: Of that difference, over sets of as many images. As both saw the same
            images, it is less than that of two shares apart.
        p_value: Of McNemar's exact test: how often the images on which the two differ would be
            divided as unevenly as this, were neither the better one.
    """

    value: float
    standard_error: float
    p_value: float


def paired_difference(right: torch.Tensor, reference: torch.Tensor) -> PairedDifference:
    """Compares two by the images on which they differ (McNemar, Psychometrika 12, 1947).

    The test is the exact one, a binomial one with probability one half: the images that both or
    neither got right say nothing.

    Args:
        right: ``(M,)`` bool, whether the prediction of each image was right.
        reference: The same, of what it is compared with.
    """
    difference = right.double() - reference.double()
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    error = difference.std(correction=0).item() / len(difference)**0.5
    p_value = binomtest(wins, wins + losses).pvalue if wins + losses else 1.
    return PairedDifference(difference.mean().item(), error, float(p_value))
