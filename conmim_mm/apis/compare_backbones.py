"""The same judges for several backbones: what I had, what I adapted, an untrained one."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from ..datasets.labelled_folder import LabelledSplit, labelled_datasets, labelled_split
from ..errors import InputError
from ..evaluation import Accuracy, extract_features, knn_predict, linear_probe_predict
from ..evaluation.paired import PairedDifference, paired_difference
from ..formats.source import read_source
from ..utils.files import check_new
from ..visualization.bars import check_figure_file, draw_bars
from .backbone import FrozenBackbone, freeze_source, frozen_backbone, num_workers, untrained

RANDOM = 'random:'


class Score(NamedTuple):
    """How often a backbone was right, from 0 to 1.

    Attributes:
        value: Share of the held-out images.
        standard_error: Of that share, over sets of as many images.
        difference: To the first backbone, on the same images; None of the first itself.
    """

    value: float
    standard_error: float
    difference: PairedDifference | None


class Comparison(NamedTuple):
    """What :func:`compare` found.

    Attributes:
        scores: By backbone, as it was named, and by judge, ``'knn'`` and ``'linear'``.
        num_images: That were held out.
        num_reference: With labels to learn from.
        num_classes: Of both.
    """

    scores: dict[str, dict[str, Score]]
    num_images: int
    num_reference: int
    num_classes: int


def compare(checkpoints: Sequence[str | Path], data: str | Path, *, weights: str = 'teacher',
            img_size: int | None = None, batch_size: int = 64, workers: int | None = None,
            k: int = 20, out: str | Path | None = None, overwrite: bool = False) -> Comparison:
    """k-NN and linear probe of several backbones on the same images.

    The features of a backbone are taken once for both.

    Args:
        checkpoints: Each as for :func:`frozen_backbone`; the others are compared with the first.
            ``'random:'`` is an untrained one of the first one's sizes.
        data: Labelled images, as for :func:`linear`.
        weights: ``'teacher'`` or ``'student'``, whose to take from a pre-training checkpoint.
        img_size: Side of the images, in pixels; by default as each backbone was trained.
        batch_size: Images at once.
        workers: Processes that read images; by default one per core, at most 16.
        k: Neighbours.
        out: A picture to draw, with bars and their standard errors; its ending is the format.
        overwrite: Replace the picture if it exists.

    Raises:
        InputError: No labels, no backbone, the same one twice, or no place for the picture.
    """
    names = [str(name) for name in checkpoints]
    if len(set(names)) < max(len(names), 2) or names[0] == RANDOM:
        raise InputError('give two backbones or more, each of them once; random: is of the sizes '
                         'of the first one, so it cannot be that')
    if out is not None:
        check_figure_file(Path(out))
        check_new(Path(out), overwrite)
    split, right = labelled_split(str(data)), {}
    for name, frozen in zip(names, _backbones(checkpoints, weights, img_size), strict=True):
        right[name], counts = _right_ones(frozen, split, batch_size, num_workers(workers), k)
    scores = {name: {judge: _score(own, None if name == names[0] else right[names[0]][judge])
                     for judge, own in judged.items()} for name, judged in right.items()}
    if out is not None:
        draw_bars(Path(out), {name: {judge: (100 * score.value, 100 * score.standard_error)
                                     for judge, score in judged.items()}
                              for name, judged in scores.items()}, 'top-1, %')
    return Comparison(scores, *counts)


def _backbones(checkpoints: Sequence[str | Path], weights: str, img_size: int | None
               ) -> Iterator[FrozenBackbone]:
    """One at a time, so that they need not fit into memory together."""
    for checkpoint in checkpoints:
        yield (freeze_source(untrained(read_source(checkpoints[0], weights)), img_size)
               if str(checkpoint) == RANDOM else frozen_backbone(checkpoint, weights, img_size))


def _right_ones(frozen: FrozenBackbone, split: LabelledSplit, batch_size: int, workers: int, k: int
                ) -> tuple[dict[str, torch.Tensor], tuple[int, int, int]]:
    """Which held-out images were predicted rightly, by judge, and how many images there are."""
    (features, labels), (held_out, truth) = (
        [tensor.to(frozen.device) for tensor in extract_features(
            frozen.backbone, part, frozen.preprocessor, batch_size, workers)]
        for part in labelled_datasets(split, frozen.img_size))
    right = dict(knn=knn_predict(features, labels, held_out, k) == truth,
                 linear=linear_probe_predict(features, labels, held_out) == truth)
    return right, (len(truth), len(labels), len(labels.unique()))


def _score(right: torch.Tensor, reference: torch.Tensor | None) -> Score:
    accuracy = Accuracy(right.float().mean().item(), len(right))
    return Score(accuracy.value, accuracy.standard_error,
                 None if reference is None else paired_difference(right, reference))
