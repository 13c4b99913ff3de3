"""Two judgements of the same held-out images: is one better, or is it chance?"""

import math
from typing import NamedTuple

import torch
from scipy.stats import binomtest

from .mean_iou import MeanIoU, jackknife_error


class PairedDifference(NamedTuple):
    """How much better one of two was on the same images.

    Attributes:
        value: Difference of the two, from -1 to 1.
        standard_error: Of that difference, over sets of as many images. As both saw the same
            images, it is less than that of two numbers apart.
        p_value: How often chance alone makes a difference as large, were neither the better one.
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


def difference_of_maps(found: MeanIoU, reference: MeanIoU) -> PairedDifference:
    """Compares two by the mean IoU on the same images; as many standard errors as a normal has.

    Args:
        found: Of held-out images.
        reference: Of the same ones, of what it is compared with.
    """
    difference = found.value - reference.value
    error = jackknife_error(found.leave_one_out - reference.leave_one_out)
    p_value = math.erfc(abs(difference) / error / math.sqrt(2)) if error else float(not difference)
    return PairedDifference(difference, error, p_value)
