"""How well frozen features separate classes: by their neighbours, and by a linear classifier."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS
from torch.utils.data import Dataset

from ..checkpoint.settings import type_name
from ..datasets.class_names import agree_on_classes, names_of_classes
from ..datasets.labelled_folder import labelled_datasets, labelled_split
from ..datasets.reading import reading_of
from ..errors import InputError
from ..evaluation import Accuracy, extract_features, knn_predict, linear_probe_predict
from ..utils.run_config import read_config
from ..utils.sizes import short_size
from .backbone import frozen_backbone, num_workers


class FeatureAccuracy(NamedTuple):
    """How often classes were predicted rightly from frozen features.

    Attributes:
        top1: Share of the held-out images whose class was found, from 0 to 1.
        standard_error: Of that share, over sets of as many images.
        num_images: That were held out.
        num_reference: With labels to learn from.
        num_classes: Of both.
        img_size: Side of the images, in pixels; height and width of oblong ones.
    """

    top1: float
    standard_error: float
    num_images: int
    num_reference: int
    num_classes: int
    img_size: int | tuple[int, int]


def knn(checkpoint: str | Path, data: str | Path | None = None, *,
        config: str | Path | None = None, cfg_options: dict | None = None,
        weights: str = 'teacher', img_size: int | Sequence[int] | None = None,
        batch_size: int = 64, workers: int | None = None, k: int = 20, temperature: float = 0.07
        ) -> FeatureAccuracy:
    """k-NN accuracy: nothing is trained, the most similar labelled images vote.

    Args:
        checkpoint: As for :func:`linear`, and so are those up to ``workers``.
        data: Labelled images.
        config: Of a classification.
        cfg_options: Changes to it.
        weights: Whose.
        img_size: Of the images.
        batch_size: Images at once.
        workers: Processes that read images.
        k: Neighbours.
        temperature: Of their votes.

    Raises:
        InputError: As for :func:`linear`, or a number out of range.
    """
    check_votes(k, temperature)
    predict = partial(knn_predict, k=k, temperature=temperature)
    return _evaluate(predict, checkpoint, data, config, cfg_options, weights, img_size, batch_size,
                     workers)


def check_votes(k: int, temperature: float) -> None:
    """Checks how many neighbours vote, and how sharply.

    Raises:
        InputError: A number out of range.
    """
    if k < 1:
        raise InputError(f'--k must be at least 1, but is {k}')
    if temperature <= 0:
        raise InputError(f'--temperature must be above 0, but is {temperature}')


def linear(checkpoint: str | Path, data: str | Path | None = None, *,
           config: str | Path | None = None, cfg_options: dict | None = None,
           weights: str = 'teacher', img_size: int | Sequence[int] | None = None,
           batch_size: int = 64, workers: int | None = None) -> FeatureAccuracy:
    """Accuracy of a linear classifier, which is trained on the features.

    Args:
        checkpoint: Of a pre-training or a task, or an extracted backbone; a run's folder for its
            last one. The features are the mean of the normalised patch tokens; of a fine-tuned
            classifier, what its head sees.
        data: Holds ``train/CLASS/*`` and ``val/CLASS/*``, or ``CLASS/*``, of which every fifth
            image is then held out.
        config: Of a classification: its training images are those to learn from, its test images
            those held out, both as its test pipeline shows them. ``data`` then takes the place of
            its ``data_root`` and may be left out.
        cfg_options: Changes to ``config``, by dotted key.
        weights: ``'teacher'`` or ``'student'``, whose to take from a pre-training checkpoint.
        img_size: Side of the images, in pixels, or ``(height, width)``; by default as the backbone
            was trained. A config tells it.
        batch_size: Images at once.
        workers: Processes that read images; by default one per core, at most 16.

    Raises:
        InputError: No labels, no backbone, or a config of something else.
    """
    return _evaluate(linear_probe_predict, checkpoint, data, config, cfg_options, weights, img_size,
                     batch_size, workers)


def _evaluate(predict: Callable[..., torch.Tensor], checkpoint: str | Path,
              data: str | Path | None, config: str | Path | None, cfg_options: dict | None,
              weights: str, img_size: int | Sequence[int] | None, batch_size: int,
              workers: int | None) -> FeatureAccuracy:
    if config is not None:
        cfg = read_config(str(config), cfg_options, data and str(data))
        if type_name(cfg.get('model', {})) != 'ImageClassifier' or 'test_dataloader' not in cfg:
            raise InputError(f'{config} is not a classification config; take one of '
                             'configs/classification')
        parts = config_datasets(cfg)
        frozen = frozen_backbone(checkpoint, weights, cfg.model.backbone.get('img_size', img_size))
        found, wanted = reading_of(parts[0]), frozen.reading
        if replace(found, view_dtype=wanted.view_dtype) != wanted:
            raise InputError(f'{config} reads {found.in_words}, and the backbone was trained on '
                             f'{wanted.in_words}: begin its test pipeline with '
                             f"dict(type='mmpretrain.LoadImage', reading={wanted.keys()})")
        # its images, normalised as the backbone has learnt them
        own = dict(mean=frozen.preprocessor.mean.flatten().tolist(),
                   std=frozen.preprocessor.std.flatten().tolist())
        frozen = frozen._replace(preprocessor=MODELS.build(
            cfg.model.data_preprocessor | own).to(frozen.device))
    elif data is not None:
        split = labelled_split(str(data))
        frozen = frozen_backbone(checkpoint, weights, img_size)
        parts = labelled_datasets(split, frozen.img_size, frozen.reading)
    else:
        raise InputError('give --data, a folder of labelled images, or --config')
    (features, labels), (held_out, truth) = (
        [tensor.to(frozen.device) for tensor in extract_features(
            frozen.backbone, part, frozen.preprocessor, batch_size, num_workers(workers))]
        for part in parts)
    right = (predict(features, labels, held_out) == truth).float().mean().item()
    accuracy = Accuracy(right, len(truth))
    return FeatureAccuracy(right, accuracy.standard_error, len(truth), len(labels),
                           len(labels.unique()), short_size(frozen.img_size))


def config_datasets(cfg: Config) -> tuple[Dataset, Dataset]:
    """The training and the test images of a classification config, both with its test pipeline.

    Raises:
        InputError: Images are missing, or the two have different classes.
    """
    init_default_scope('mmpretrain')
    pipeline = cfg.test_dataloader.dataset.pipeline
    try:
        reference, queries = (
            DATASETS.build(part | dict(pipeline=pipeline))
            for part in (cfg.train_dataloader.dataset, cfg.test_dataloader.dataset))
    except (AssertionError, OSError) as error:
        raise InputError(f'cannot read the images: {error}') from error
    agree_on_classes(names_of_classes(reference), queries)
    return reference, queries
