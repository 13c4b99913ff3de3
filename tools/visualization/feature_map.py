"""Draws a map of a folder's images: near ones have like features (t-SNE).

    conmim embed CHECKPOINT --data PHOTOS --out features.npz
    python tools/visualization/feature_map.py features.npz --out map.png

Colours and markers are the classes, where the folder has them.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from common import add_out_argument, check_picture_file
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from PIL import Image, ImageOps

from conmim_mm.apis.feature_file import as_utf8
from conmim_mm.datasets.reading import ImageReading, read_levels
from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool
from conmim_mm.visualization.sheet import band_picture, save_picture, usual_bands

# Okabe and Ito's colours but yellow, and black; with seven markers that share no period with them,
# fifty-six classes are told apart.
COLOURS = ('#0072B2', '#E69F00', '#009E73', '#D55E00', '#CC79A7', '#56B4E9', '#000000', '#808080')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')
MAX_LEGEND = 30
MIN_IMAGES = 5
USUAL_PERPLEXITY = 30.
THUMBNAIL = (56, 56)


class Style(NamedTuple):
    """How the points of a class look."""

    colour: str
    marker: str


def map_features(features: np.ndarray, seed: int = 0) -> np.ndarray:
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
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
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


def legend_text(name: str) -> str:
    """A folder's name as Matplotlib shows it: no formula, not left out, bytes as escapes."""
    shown = as_utf8(name).replace('$', r'\$')
    return f' {shown}' if shown.startswith('_') else shown


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
                     label=legend_text(classes[label]) if classes else None)
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


def read_features(path: str) -> dict[str, np.ndarray]:
    """What ``conmim embed`` wrote.

    Raises:
        InputError: Nothing of the kind.
    """
    try:
        with np.load(path) as file:
            found = dict(file)
    except (OSError, ValueError, TypeError):  # no file, no archive, or a single array
        found = {}
    if not {'features', 'paths', 'data', 'weights'} <= found.keys():
        raise InputError(f'{path} holds no features; conmim embed CHECKPOINT --data DIR --out '
                         'FILE.npz writes some')
    return found


def thumbnail(path: Path, reading: ImageReading) -> np.ndarray:
    """An image as features were taken of it, small, ``(h, w, 3)`` uint8."""
    pixels = band_picture(read_levels(str(path), reading), usual_bands(reading.channels))
    return np.asarray(ImageOps.fit(Image.fromarray(pixels), THUMBNAIL))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('features', metavar='FEATURES.npz', help='of conmim embed')
    parser.add_argument('--images', type=int, default=1000, metavar='N',
                        help='at most so many, evenly spread over the folder (default: 1000)')
    parser.add_argument('--thumbnails', type=int, default=0, metavar='N',
                        help='show so many of the images themselves (default: 0)')
    parser.add_argument('--seed', type=int, default=0, help='of t-SNE (default: 0)')
    add_out_argument(parser)
    args = parser.parse_args()

    if args.images < MIN_IMAGES:
        raise InputError(f'--images must be at least {MIN_IMAGES}, but is {args.images}')
    check_picture_file(args.out, args.overwrite)
    found = read_features(args.features)
    count = len(found['features'])
    chosen = np.linspace(0, count - 1, min(args.images, count)).round().astype(int)
    classes, labels = np.unique(found['labels'], return_inverse=True) if 'labels' in found else (
        [], np.zeros(count, dtype=int))
    points = map_features(found['features'][chosen], args.seed)
    distance = (points.max() - points.min()) / 12
    reading = ImageReading.from_keys(json.loads(str(found.get('reading', '{}'))))
    title = f"{len(points)} images as the {found['weights']}'s features lie"
    save_picture(draw_feature_map(points, title, labels[chosen], [*classes], {
        index: thumbnail(Path(str(found['data']), found['paths'][chosen[index]]), reading)
        for index in spread_points(points, args.thumbnails, distance)}), args.out)
    words = f'{len(classes)} classes' if len(classes) else 'no class folders, so one colour'
    if len(classes) > MAX_LEGEND:
        words += f', too many for a legend (up to {MAX_LEGEND})'
    if args.thumbnails and reading.channels not in (1, 3):
        words += (f'; thumbnails show channel {", ".join(map(str, usual_bands(reading.channels)))} '
                  f'of {reading.channels}')
    print(f'wrote {args.out}: {len(points)} images, {words}')


if __name__ == '__main__':
    run_tool(main)
