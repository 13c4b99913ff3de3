"""``conmim knn``: how well frozen features separate classes without any training."""

import argparse
from functools import partial

from ..apis.backbone import judge
from ..evaluation import knn_predict


def run(args: argparse.Namespace) -> None:
    """Prints the accuracy.

    Raises:
        InputError: No labels, or no backbone.
    """
    judge(args, f'{args.k}-NN', partial(knn_predict, k=args.k), k=args.k)
