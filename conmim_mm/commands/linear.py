"""``conmim linear``: a linear classifier on frozen features."""

import argparse

from ..apis.backbone import judge
from ..evaluation import linear_probe_predict


def run(args: argparse.Namespace) -> None:
    """Prints the accuracy.

    Raises:
        InputError: No labels, or no backbone.
    """
    judge(args, 'linear probe', linear_probe_predict)
