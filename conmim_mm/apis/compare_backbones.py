"""The same judges for several backbones: what I had, what I adapted, an untrained one."""

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from ..datasets.labelled_folder import LabelledSplit, labelled_datasets, labelled_split
from ..datasets.segmentation_folder import SegmentationSplit, segmentation_split
from ..errors import InputError
from ..evaluation import Accuracy, extract_features, knn_predict, linear_probe_predict
from ..evaluation.dense import knn_scores, linear_scores
from ..evaluation.mean_iou import MeanIoU
from ..evaluation.paired import PairedDifference, difference_of_maps, paired_difference
from ..formats.backbone import build_backbone
from ..formats.pooled_timm import pooled_timm
from ..formats.source import read_source
from ..utils.files import check_new
from ..visualization.bars import check_figure_file, draw_bars
from .backbone import FrozenBackbone, freeze_source, frozen_backbone, num_workers, untrained
from .dense_evaluation import predict_maps

RANDOM = 'random:'


class Score(NamedTuple):
    """How good a backbone was, from 0 to 1.

    Attributes:
        value: Share of the held-out images whose class was found; of maps, the mean IoU.
        standard_error: Over sets of as many images.
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
        num_reference: With labels or maps to learn from.
        num_classes: Of both.
    """

    scores: dict[str, dict[str, Score]]
    num_images: int
    num_reference: int
    num_classes: int


class Judged(NamedTuple):
    """What the judges say of a backbone, by judge, image by image; and how many images there are.

    Attributes:
        found: Which of the held-out images were predicted rightly, ``(M, )`` bool; or their maps.
        counts: As the last three of :class:`Comparison`.
    """

    found: dict[str, torch.Tensor | MeanIoU]
    counts: tuple[int, int, int]


def compare(checkpoints: Sequence[str | Path], data: str | Path, *, task: str = 'classification',
            weights: str = 'teacher', img_size: int | Sequence[int] | None = None,
            batch_size: int = 64, workers: int | None = None, ignore: Collection[int] = (),
            k: int = 20, out: str | Path | None = None, overwrite: bool = False) -> Comparison:
    """k-NN and linear probe of several backbones on the same images.

    The features of a backbone are taken once for both.

    Args:
        checkpoints: Each as for :func:`frozen_backbone`; the others are compared with the first.
            ``'random:'`` is an untrained one of the first one's sizes.
        data: Labelled images, as for :func:`linear`; or images and maps, as for
            :func:`dense_linear`.
        task: ``'classification'`` by labels of images, or ``'segmentation'`` by maps.
        weights: ``'teacher'`` or ``'student'``, whose to take from a pre-training checkpoint.
        img_size: Side of the images, in pixels, or ``(height, width)``; by default as each backbone
            was trained.
        batch_size: Images at once.
        workers: Processes that read images; by default one per core, at most 16.
        ignore: Labels of maps that do not count, besides 255.
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
    if task not in _TASKS:
        raise InputError(f'--task must be one of {", ".join(_TASKS)}, but is {task!r}')
    if out is not None:
        check_figure_file(Path(out))
        check_new(Path(out), overwrite)
    if ignore and task != 'segmentation':
        raise InputError('--ignore goes with --task segmentation')
    find_split, judge, unit = _TASKS[task]
    split, judged = find_split(str(data)), {}
    for checkpoint in checkpoints:  # or a missing one would come out after the others' minutes
        _check(checkpoint, weights, img_size)
    for name, frozen in zip(names, _backbones(checkpoints, weights, img_size), strict=True):
        judged[name] = judge(frozen, split, (batch_size, num_workers(workers)), k, ignore)
    first = judged[names[0]]
    scores = {name: {judge: _score(own, None if name == names[0] else first.found[judge])
                     for judge, own in one.found.items()} for name, one in judged.items()}
    if out is not None:
        draw_bars(Path(out), {name: {judge: (100 * score.value, 100 * score.standard_error)
                                     for judge, score in row.items()}
                              for name, row in scores.items()}, unit)
    return Comparison(scores, *first.counts)


def _check(checkpoint: str | Path, weights: str, img_size: int | Sequence[int] | None) -> None:
    if str(checkpoint) != RANDOM and not pooled_timm(str(checkpoint), img_size):
        source = read_source(checkpoint, weights)
        build_backbone(source.weights, source.sizes, img_size)


def _backbones(checkpoints: Sequence[str | Path], weights: str,
               img_size: int | Sequence[int] | None) -> Iterator[FrozenBackbone]:
    """One at a time, so that they need not fit into memory together."""
    for checkpoint in checkpoints:
        yield (freeze_source(untrained(read_source(checkpoints[0], weights)), img_size)
               if str(checkpoint) == RANDOM else frozen_backbone(checkpoint, weights, img_size))


def _by_labels(frozen: FrozenBackbone, split: LabelledSplit, loading: tuple[int, int], k: int,
               _: Collection[int]) -> Judged:
    (features, labels), (held_out, truth) = (
        [tensor.to(frozen.device) for tensor in extract_features(
            frozen.backbone, part, frozen.preprocessor, *loading)]
        for part in labelled_datasets(split, frozen.img_size, frozen.reading))
    right = dict(knn=knn_predict(features, labels, held_out, k) == truth,
                 linear=linear_probe_predict(features, labels, held_out) == truth)
    return Judged(right, (len(truth), len(labels), len(labels.unique())))


def _by_maps(frozen: FrozenBackbone, split: SegmentationSplit, loading: tuple[int, int], k: int,
             ignore: Collection[int]) -> Judged:
    bank, found = predict_maps(
        frozen, split, dict(knn=partial(knn_scores, k=k), linear=linear_scores), loading, ignore)
    return Judged(found, (len(found['knn'].actual), len(split.train), bank.num_classes))


def _score(own: torch.Tensor | MeanIoU, reference: torch.Tensor | MeanIoU | None) -> Score:
    if isinstance(own, MeanIoU):
        return Score(own.value, own.standard_error,
                     reference and difference_of_maps(own, reference))
    accuracy = Accuracy(own.float().mean().item(), len(own))
    return Score(accuracy.value, accuracy.standard_error,
                 None if reference is None else paired_difference(own, reference))


_TASKS = dict(classification=(labelled_split, _by_labels, 'top-1, %'),
              segmentation=(segmentation_split, _by_maps, 'mIoU, %'))
