"""How well frozen patch tokens tell the classes of pixels: by retrieval, and by a linear layer."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..datasets.segmentation_folder import (
    SegmentationSplit,
    segmentation_datasets,
    segmentation_split,
)
from ..evaluation.dense import (
    PatchBank,
    Scores,
    judge_maps,
    knn_scores,
    linear_scores,
    patch_bank,
)
from ..evaluation.features import patch_features
from ..evaluation.mean_iou import MeanIoU
from ..utils.sizes import short_size
from .backbone import FrozenBackbone, frozen_backbone, num_workers
from .evaluate import check_votes


class DenseResult(NamedTuple):
    """How well the maps of held-out images were predicted from frozen patch tokens.

    Attributes:
        miou: Mean IoU of the classes that occur, from 0 to 1, over all pixels with a label.
        standard_error: Of it, over sets of as many images.
        class_iou: IoU of each class that occurs.
        num_images: That were held out.
        num_reference: Images to learn from,
        num_patches: and their patches with labels; at most a million.
        num_classes: Of these.
        img_size: Side of the images and of the maps, in pixels; height and width of oblong ones.
        counts: What ``miou`` is made of, image by image, for a paired comparison of two backbones
            (:func:`jackknife_error`).
    """

    miou: float
    standard_error: float
    class_iou: dict[int, float]
    num_images: int
    num_reference: int
    num_patches: int
    num_classes: int
    img_size: int | tuple[int, int]
    counts: MeanIoU


def dense_knn(checkpoint: str | Path, data: str | Path, *, weights: str = 'teacher',
              img_size: int | Sequence[int] | None = None, batch_size: int = 64,
              workers: int | None = None, ignore: Collection[int] = (), k: int = 20,
              temperature: float = 0.07) -> DenseResult:
    """Mean IoU of retrieval: nothing is trained, a patch has the labels of the most similar ones.

    Args:
        checkpoint: As for :func:`dense_linear`, and so are those up to ``ignore``.
        data: Images and maps.
        weights: Whose.
        img_size: Of the images.
        batch_size: Images at once.
        workers: Processes that read images.
        ignore: Labels that do not count.
        k: Neighbours.
        temperature: Of their weights.

    Raises:
        InputError: As for :func:`dense_linear`, or a number out of range.
    """
    check_votes(k, temperature)
    return _evaluate(partial(knn_scores, k=k, temperature=temperature), checkpoint, data, weights,
                     img_size, batch_size, workers, ignore)


def dense_linear(checkpoint: str | Path, data: str | Path, *, weights: str = 'teacher',
                 img_size: int | Sequence[int] | None = None, batch_size: int = 64,
                 workers: int | None = None, ignore: Collection[int] = ()) -> DenseResult:
    """Mean IoU of a linear layer on the normalised patch tokens.

    Predictions are enlarged to the maps (bilinear, of the scores). Images and maps are squashed to
    one size, so figures are for a comparison of backbones, not with those of whole images.

    Args:
        checkpoint: Of a pre-training or a task, or an extracted backbone; a run's folder for its
            last one.
        data: Holds ``images/train``, ``images/val`` and the same in ``annotations``, or ``images``
            and ``annotations`` alone, of which every fifth image is then held out. A map has one
            channel, whose values are the numbers of the classes, and 255 for no label.
        weights: ``'teacher'`` or ``'student'``, whose to take from a pre-training checkpoint.
        img_size: Side of the images, in pixels, or ``(height, width)``; by default as the backbone
            was trained.
        batch_size: Images at once.
        workers: Processes that read images; by default one per core, at most 16.
        ignore: Labels that do not count, besides 255: ``[0]`` for ADE20K.

    Raises:
        InputError: No maps, maps that do not fit, or no backbone.
    """
    return _evaluate(linear_scores, checkpoint, data, weights, img_size, batch_size, workers,
                     ignore)


def _evaluate(fit: Callable[[PatchBank], Scores], checkpoint: str | Path, data: str | Path,
              weights: str, img_size: int | Sequence[int] | None, batch_size: int,
              workers: int | None, ignore: Collection[int]) -> DenseResult:
    split = segmentation_split(str(data))
    frozen = frozen_backbone(checkpoint, weights, img_size)
    bank, judged = predict_maps(
        frozen, split, dict(it=fit), (batch_size, num_workers(workers)), ignore)
    found = judged['it']
    return DenseResult(
        found.value, found.standard_error, found.by_class, len(found.actual), len(split.train),
        len(bank.shares), bank.num_classes, short_size(frozen.img_size), found)


def predict_maps(frozen: FrozenBackbone, split: SegmentationSplit,
                 fits: Mapping[str, Callable[[PatchBank], Scores]], loading: tuple[int, int],
                 ignore: Collection[int]) -> tuple[PatchBank, dict[str, MeanIoU]]:
    """Predicts the maps of held-out images in several ways, from tokens that are taken once.

    Args:
        frozen: The backbone.
        split: Of the images.
        fits: By any name, what learns from the patches: :func:`knn_scores`, :func:`linear_scores`.
        loading: Images at once, and processes that read them.
        ignore: As for :func:`dense_linear`.

    Returns:
        The patches learnt from, and by name how well it went.

    Raises:
        InputError: As for :func:`dense_linear`.
    """
    train, held_out = (
        patch_features(frozen.backbone, part, frozen.preprocessor, *loading)
        for part in segmentation_datasets(split, frozen.img_size, ignore, frozen.reading))
    bank = patch_bank(train, len(split.train))
    return bank, judge_maps({name: fit(bank) for name, fit in fits.items()}, held_out)
