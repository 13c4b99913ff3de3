"""Whole pictures: one main object, or a scene of several.

Every picture has a generator of its own, seeded by (seed, kind, split, index): it does not depend
on how many pictures there are or on who draws them.
"""

import math
from dataclasses import dataclass

import numpy as np

from .render import Tile, finish, lay, lay_shadow, render_clutter, render_object
from .shapes import CLASSES
from .textures import background

SPLITS = ('train', 'val')
_KINDS = ('classification', 'scene')
_MAX_COVERED = 0.3  # largest share of an object that clutter or a neighbour may hide


@dataclass
class Scene:
    """A picture of several objects.

    Attributes:
        image: (S, S, 3) uint8, RGB.
        instances: (S, S) uint8, 0 for background, k for the visible part of object k.
        labels: class number (0-based) of object 1, 2, ...
    """

    image: np.ndarray
    instances: np.ndarray
    labels: list[int]


def picture_rng(seed: int, kind: str, split: str, index: int) -> np.random.Generator:
    """The generator of one picture.

    Raises:
        ValueError: unknown kind or split, or a negative seed or index.
    """
    if kind not in _KINDS or split not in SPLITS:
        raise ValueError(f'no such kind or split: {kind!r}, {split!r}')
    if seed < 0 or index < 0:
        raise ValueError(f'seed and index must not be negative: {seed}, {index}')
    return np.random.default_rng([seed, _KINDS.index(kind), SPLITS.index(split), index])


def _random_light(rng: np.random.Generator) -> tuple[float, float]:
    # From above, as light mostly comes.
    angle = rng.uniform(-math.pi, 0)
    return math.cos(angle), math.sin(angle)


def _ground(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A background and its mean colour (3,), summed in integers to be exact."""
    image = background(rng, size)
    return image, image.astype(np.int64).sum(axis=(0, 1)) / (size * size)


def _scatter(rng, image, light, count, low, high):
    """Small clutter on the ground, under the objects."""
    size = image.shape[0]
    for _ in range(count):
        extent = rng.uniform(low, high) * size
        tile = render_clutter(rng, extent, tuple(rng.uniform(0, size, 2)), light)
        lay_shadow(image, tile, light, extent * 0.1, 0.3)
        lay(image, tile)


def _occluder(rng, target: Tile, light, size: int, extent: float) -> Tile | None:
    """Clutter over the rim of an object that hides no more than allowed of it, or None."""
    covered = target.coverage(size)
    area = float(covered.sum(dtype=np.float64))
    middle = target.x + target.alpha.shape[1] / 2, target.y + target.alpha.shape[0] / 2
    for shrink in (1.0, 0.75, 0.5):
        angle, reach = rng.uniform(0, 2 * math.pi), extent * rng.uniform(0.2, 0.5)
        centre = middle[0] + reach * math.cos(angle), middle[1] + reach * math.sin(angle)
        tile = render_clutter(rng, extent * rng.uniform(0.35, 0.7) * shrink, centre, light)
        hidden = float((tile.coverage(size) * covered).sum(dtype=np.float64))
        if 0 < hidden <= _MAX_COVERED * area:
            return tile
    return None


def classification_image(seed: int, split: str, index: int, size: int) -> np.ndarray:
    """A picture of one object; its class is ``index % 10``.

    Args:
        seed: seed of the data set.
        split: 'train' or 'val'.
        index: number of the picture within its split.
        size: side in pixels.

    Returns:
        (size, size, 3) uint8, RGB.

    Raises:
        ValueError: unknown split, or a negative seed or index.
    """
    rng = picture_rng(seed, 'classification', split, index)
    shape = CLASSES[index % len(CLASSES)]
    light = _random_light(rng)
    image, around = _ground(rng, size)
    _scatter(rng, image, light, int(rng.integers(0, 4)), 0.05, 0.16)
    extent = rng.uniform(0.6, 0.95) * size
    free = max(size - extent, 0.0) / 2
    centre = tuple(size / 2 + rng.uniform(-0.7, 0.7, 2) * free)
    tile = render_object(rng, shape, extent, centre, light, around)
    lay_shadow(image, tile, light, extent * rng.uniform(0.04, 0.14), rng.uniform(0.2, 0.55))
    lay(image, tile)
    if rng.random() < 0.4:
        cover = _occluder(rng, tile, light, size, extent)
        if cover is not None:
            lay_shadow(image, cover, light, extent * 0.05, 0.3)
            lay(image, cover)
    return finish(rng, image, light)


def _free_spot(rng, size, extent, placed):
    """A centre for an object of this extent: the one of a few tries that crowds others least."""
    best, best_gap = None, -math.inf
    low, high = extent * 0.4, size - extent * 0.4
    for _ in range(12):
        x, y = rng.uniform(low, high, 2)
        # Longest sides as diameters: rough, but the same for every class.
        gap = min(
            (math.hypot(x - px, y - py) - 0.5 * (extent + other) for px, py, other in placed),
            default=0.0,
        )
        if gap > best_gap:
            best, best_gap = (float(x), float(y)), gap
        if gap >= -0.12 * extent:
            break
    return best


def scene_image(seed: int, split: str, index: int, size: int) -> Scene:
    """A scene of two to six objects of any classes.

    Objects of which fewer than ``min_visible_pixels(size)`` pixels can be seen count as
    background.

    Args:
        seed: seed of the data set.
        split: 'train' or 'val'.
        index: number of the scene within its split.
        size: side in pixels.

    Raises:
        ValueError: unknown split, or a negative seed or index.
    """
    rng = picture_rng(seed, 'scene', split, index)
    light = _random_light(rng)
    image, around = _ground(rng, size)
    _scatter(rng, image, light, int(rng.integers(0, 5)), 0.04, 0.12)
    owner = np.zeros((size, size), np.uint8)
    placed: list[tuple[float, float, float]] = []
    labels: list[int] = []
    count = int(rng.integers(2, 7))
    for k in range(1, count + 1):
        # The more objects, the smaller they are, or they would hide each other.
        extent = rng.uniform(0.2, 0.45 if count < 5 else 0.36) * size
        centre = _free_spot(rng, size, extent, placed)
        label = int(rng.integers(len(CLASSES)))
        tile = render_object(rng, CLASSES[label], extent, centre, light, around)
        lay_shadow(image, tile, light, extent * 0.08, rng.uniform(0.2, 0.5))
        lay(image, tile)
        owner[tile.coverage(size) >= 0.5] = k
        placed.append((*centre, extent))
        labels.append(label)
        if rng.random() < 0.2:
            cover = _occluder(rng, tile, light, size, extent)
            if cover is not None:
                lay(image, cover)
                owner[cover.coverage(size) >= 0.5] = 0
    instances, labels = _keep_visible(owner, labels, min_visible_pixels(size))
    return Scene(finish(rng, image, light), instances, labels)


def min_visible_pixels(size: int) -> int:
    """Fewest visible pixels of an object that is still annotated: 16 at side 64."""
    return max(4, size * size // 256)


def _keep_visible(owner, labels, least):
    instances, kept = np.zeros_like(owner), []
    for k, label in enumerate(labels, start=1):
        mask = owner == k
        if int(mask.sum()) >= least:
            kept.append(label)
            instances[mask] = len(kept)
    return instances, kept
