"""Draws a map of a folder's images: near ones have like features (t-SNE).

Colours and markers are the classes, where the folder has them: CLASS/*, or train/CLASS/* and
val/CLASS/*, of which the held-out images are taken. The features are the mean of the normalised
patch tokens.
"""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from common import (
    add_model_arguments,
    add_weights_argument,
    backbone_of,
    check_picture_file,
)
from load_model import load_pretraining
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from mmengine.device import get_device
from mmpretrain.registry import DATASETS
from PIL import Image
from torch import nn
from torch.utils.data import Subset

from conmim_mm.datasets import read_rgb
from conmim_mm.datasets.labelled_folder import evaluation_pipeline, whole_folder
from conmim_mm.errors import InputError
from conmim_mm.evaluation.features import image_features
from conmim_mm.models.backbones.conmim_vit import ConMIMViT
from conmim_mm.utils.cli import run_tool
from conmim_mm.visualization.sheet import save_picture

# Okabe and Ito's colours but yellow, and black; with seven markers that share no period with them,
# fifty-six classes are told apart.
COLOURS = ('#0072B2', '#E69F00', '#009E73', '#D55E00', '#CC79A7', '#56B4E9', '#000000', '#808080')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')
MAX_LEGEND = 30
MIN_IMAGES = 5
USUAL_PERPLEXITY = 30.


class Style(NamedTuple):
    """How the points of a class look."""

    colour: str
    marker: str


def map_features(features: torch.Tensor, seed: int = 0) -> np.ndarray:
    """Places on a plane, near each other for features of like direction.

    Args:
        features: ``(N, C)``.
        seed: Of the start.

    Returns:
        ``(N, 2)`` float32; distances within a cluster mean more than those between clusters.

    Raises:
        InputError: Fewer than five images, or scikit-learn is missing.
    """
    try:
        from sklearn.manifold import TSNE  # a second to import, and nothing else needs it
    except ImportError:
        raise InputError('t-SNE needs scikit-learn: pip install scikit-learn') from None
    if len(features) < MIN_IMAGES:
        raise InputError(f'a map needs at least {MIN_IMAGES} images, but there are {len(features)}')
    unit = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
    perplexity = min(USUAL_PERPLEXITY, (len(unit) - 1) / 3)
    return TSNE(perplexity=perplexity, init='pca', random_state=seed, n_jobs=1).fit_transform(unit)


def class_style(label: int) -> Style:
    """Colour and marker of a class."""
    return Style(COLOURS[label % len(COLOURS)], MARKERS[label % len(MARKERS)])


def spread_points(points: np.ndarray, count: int, distance: float) -> list[int]:
    """Up to ``count`` points that keep a distance from each other, tried in random order.

    Args:
        points: ``(N, 2)``.
        count: At most so many.
        distance: In either direction, as thumbnails are squares.
    """
    chosen: list[int] = []
    # the images of a class lie together, and the first class alone would fill the map
    for index in np.random.default_rng(0).permutation(len(points)).tolist():
        if len(chosen) == count:
            break
        gaps = np.abs(points[chosen] - points[index]).max(axis=1)
        if (gaps >= distance).all():
            chosen.append(index)
    return chosen


def draw_feature_map(points: np.ndarray, title: str, labels: Sequence[int] = (),
                     classes: Sequence[str] = (),
                     thumbnails: dict[int, np.ndarray] | None = None) -> np.ndarray:
    """Points coloured by class.

    Args:
        points: ``(N, 2)`` of :func:`map_features`.
        title: Heading.
        labels: N numbers of classes; none for points of one look.
        classes: Names, for the legend, which is left out for more than thirty.
        thumbnails: Small pictures ``(h, w, 3)`` uint8 in the place of the points of these indices.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    figure = Figure(figsize=(8.4 if classes else 6.6, 6.4), dpi=120, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    labels = np.asarray(labels if len(labels) else np.zeros(len(points)), dtype=int)
    for label in np.unique(labels):
        style, own = class_style(int(label)), points[labels == label]
        axes.scatter(own[:, 0], own[:, 1], s=22, color=style.colour, marker=style.marker,
                     alpha=0.8, linewidths=0.3, edgecolors='white',
                     label=classes[label] if classes else None)
    for index, picture in (thumbnails or {}).items():
        axes.add_artist(AnnotationBbox(
            OffsetImage(picture, zoom=0.5), points[index], pad=0.12,
            bboxprops=dict(edgecolor=class_style(int(labels[index])).colour, linewidth=1.4)))
    axes.set(xticks=[], yticks=[], xlabel='t-SNE, first axis', ylabel='t-SNE, second axis')
    axes.set_title(title, fontsize=10)
    if 0 < len(classes) <= MAX_LEGEND:
        figure.legend(loc='outside right upper', fontsize=8, frameon=False)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def small(image: Image.Image, side: int = 56) -> np.ndarray:
    """The central square of an image, ``(side, side, 3)`` uint8."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return np.asarray(image.resize((side, side), box=(left, top, left + edge, top + edge)))


class FolderFeatures(NamedTuple):
    """What :func:`folder_features` finds.

    Attributes:
        features: ``(N, C)`` float32.
        paths: N files.
        labels: N numbers of classes; empty where there are none.
        classes: Their names; empty where there are none.
    """

    features: torch.Tensor
    paths: list[str]
    labels: list[int]
    classes: tuple[str, ...]


def folder_features(backbone: ConMIMViT, preprocessor: nn.Module, folder: str, limit: int,
                    num_workers: int = 2) -> FolderFeatures:
    """Mean-pooled features of up to ``limit`` images, evenly spread over the folder.

    Those that cannot be read are left out.

    Labels are read from ``CLASS/*``, or from ``train/CLASS/*`` and ``val/CLASS/*``, of which the
    held-out images are taken.

    Args:
        backbone: As :func:`image_features` takes it.
        preprocessor: Likewise.
        folder: Of images, in any sub-folders.
        limit: Images.
        num_workers: Processes that read them.

    Raises:
        InputError: No such folder, or no images.
    """
    source, classes = whole_folder(folder)
    images = DATASETS.build(dict(
        type='ImageFiles', with_label=bool(classes), serialize_data=False,
        pipeline=evaluation_pipeline(backbone.img_size), **source))
    chosen = np.linspace(0, len(images) - 1, min(limit, len(images))).round().astype(int).tolist()
    features, paths, labels = [], [], []
    for batch in image_features(backbone, Subset(images, chosen), preprocessor,
                                num_workers=num_workers):
        features.append(batch.features)
        paths += [images.get_data_info(chosen[index])['img_path'] for index in batch.indices]
        labels += batch.labels
    return FolderFeatures(torch.cat(features), paths, labels, tuple(classes))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='pre-training checkpoint')
    parser.add_argument('folder', help='of images')
    parser.add_argument('--images', type=int, default=1000, metavar='N',
                        help='at most so many, evenly spread over the folder (default: 1000)')
    parser.add_argument('--thumbnails', type=int, default=0, metavar='N',
                        help='show so many of the images themselves (default: 0)')
    parser.add_argument('--seed', type=int, default=0, help='of t-SNE (default: 0)')
    parser.add_argument('--num-workers', type=int, default=2,
                        help='processes that read images (default: 2)')
    add_weights_argument(parser)
    add_model_arguments(parser)
    args = parser.parse_args()

    if args.images < MIN_IMAGES:
        raise InputError(f'--images must be at least {MIN_IMAGES}, but is {args.images}')
    check_picture_file(args.out)
    model, _ = load_pretraining(args.checkpoint, args.config)
    model = model.to(get_device())
    found = folder_features(backbone_of(model, args.weights), model.data_preprocessor, args.folder,
                            args.images, args.num_workers)
    points = map_features(found.features, args.seed)
    chosen = spread_points(points, args.thumbnails, distance=(points.max() - points.min()) / 12)
    title = f"{len(points)} images as the {args.weights}'s features lie"
    save_picture(
        draw_feature_map(points, title, found.labels, found.classes,
                         {index: small(read_rgb(found.paths[index])) for index in chosen}),
        args.out)
    words = f'{len(found.classes)} classes' if found.classes else 'no class folders, so one colour'
    if len(found.classes) > MAX_LEGEND:
        words += f', too many for a legend (up to {MAX_LEGEND})'
    print(f'wrote {args.out}: {len(points)} images, {words}')


if __name__ == '__main__':
    run_tool(main)
