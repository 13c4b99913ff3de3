"""Polygons, the one primitive that every object is built from.

Coordinates are x to the right and y downwards, in units of the object, not in pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Part:
    """A filled polygon of an object; later parts cover earlier ones.

    Attributes:
        points: (n, 2) float64 vertices.
        tone: brightness of the part, 0 (dark) to 1 (bright), 0.5 is neutral.
        accent: share of the object's second colour, 0 to 1.
        hole: cut the polygon out of what is drawn so far instead of painting it.
    """

    points: np.ndarray
    tone: float = 0.5
    accent: float = 0.0
    hole: bool = False


def polygon(*points: tuple[float, float]) -> np.ndarray:
    """Vertices given one by one, as (n, 2)."""
    return np.array(points, dtype=np.float64)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """Axis-parallel rectangle, (4, 2)."""
    return polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def ellipse(
    cx: float, cy: float, rx: float, ry: float, angle: float = 0.0, count: int = 24
) -> np.ndarray:
    """Ellipse with radii ``rx``, ``ry`` turned by ``angle`` (radians), (count, 2)."""
    cos, sin = math.cos(angle), math.sin(angle)
    points = []
    for k in range(count):
        t = 2 * math.pi * k / count
        x, y = rx * math.cos(t), ry * math.sin(t)
        points.append((cx + x * cos - y * sin, cy + x * sin + y * cos))
    return polygon(*points)


def bar(
    start: tuple[float, float], end: tuple[float, float], width: float, end_width: float = -1.0
) -> np.ndarray:
    """Straight stroke from ``start`` to ``end``, (4, 2); it tapers if ``end_width`` is given."""
    end_width = width if end_width < 0 else end_width
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    nx, ny = -dy / length / 2, dx / length / 2
    return polygon(
        (start[0] + nx * width, start[1] + ny * width),
        (end[0] + nx * end_width, end[1] + ny * end_width),
        (end[0] - nx * end_width, end[1] - ny * end_width),
        (start[0] - nx * width, start[1] - ny * width),
    )


def blob(rng: np.random.Generator, rough: float = 0.25, count: int = 24) -> np.ndarray:
    """Smooth random closed outline of mean radius 1 around the origin, (count, 2)."""
    phases, sizes = rng.uniform(0, 2 * math.pi, 4), rng.uniform(0, rough, 4)
    stretch = rng.uniform(0.6, 1.0)
    points = []
    for k in range(count):
        t = 2 * math.pi * k / count
        r = 1 + sum(sizes[j] * math.cos((j + 2) * t + phases[j]) for j in range(4))
        points.append((r * math.cos(t), stretch * r * math.sin(t)))
    return polygon(*points)


def rotate(points: np.ndarray, angle: float) -> np.ndarray:
    """Vertices turned about the origin by ``angle`` (radians), (n, 2)."""
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = points[:, 0], points[:, 1]
    return np.stack([x * cos - y * sin, x * sin + y * cos], axis=1)


def bounds(parts: Sequence[Part]) -> tuple[float, float, float, float]:
    """Bounding box (x0, y0, x1, y1) of all painted parts."""
    stacked = np.concatenate([part.points for part in parts if not part.hole])
    low, high = stacked.min(axis=0), stacked.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def place(parts: Sequence[Part], angle: float, mirror: bool, extent: float) -> list[Part]:
    """Mirror, turn, and scale an object about its centre.

    Args:
        parts: the object in its own units.
        angle: rotation in radians.
        mirror: swap left and right first.
        extent: longest side of the placed object's bounding box, in pixels.

    Returns:
        The parts in pixels, their bounding box centred on the origin.
    """
    sign = np.array([-1.0 if mirror else 1.0, 1.0])
    turned = [replace(part, points=rotate(part.points * sign, angle)) for part in parts]
    x0, y0, x1, y1 = bounds(turned)
    scale = extent / max(x1 - x0, y1 - y0)
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    return [replace(part, points=(part.points - centre) * scale) for part in turned]
