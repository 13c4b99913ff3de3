"""``conmim linear``: a linear classifier on frozen features."""

import argparse

from ..evaluation import linear_probe_predict
from .frozen_backbone import judge


def run(args: argparse.Namespace) -> None:
    """Prints the accuracy.

    Raises:
        InputError: No labels, or no backbone.
    """
    judge(args, 'linear probe', linear_probe_predict)
