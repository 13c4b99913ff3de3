"""The ten classes, each told by its shape and its parts, never by colour.

Every function draws one random member of its class as a list of parts: proportions and the
number of parts vary, the plan does not.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .geometry import Part, bar, blob, ellipse, polygon, rectangle, rotate


@dataclass(frozen=True)
class ShapeClass:
    """A class of objects.

    Attributes:
        name: name of the class, the folder and category name.
        build: draws one random member.
        turn: largest rotation to either side, in radians; ``math.pi`` is any orientation.
    """

    name: str
    build: Callable[[np.random.Generator], list[Part]]
    turn: float


def _butterfly(rng):
    parts = []
    upper, lower = rng.uniform(0.5, 0.65), rng.uniform(0.32, 0.45)
    lift, width = rng.uniform(0.5, 0.8), rng.uniform(0.3, 0.4)
    spots = int(rng.integers(1, 3))
    for side in (-1, 1):
        hi, lo = -lift * side, lift * side
        parts.append(Part(ellipse(side * 0.36, 0.32, lower, width * 0.8, lo), 0.4, 0.5))
        parts.append(Part(ellipse(side * 0.5, -0.28, upper, width, hi), 0.58))
        for k in range(spots):
            reach = 0.55 + 0.3 * k
            x, y = side * reach * math.cos(lift), -reach * math.sin(lift) * 0.8
            parts.append(Part(ellipse(x, y, 0.13 - 0.03 * k, 0.13 - 0.03 * k, 0, 12), 0.6, 1.0))
        parts.append(Part(ellipse(side * 0.42, 0.38, 0.12, 0.1, lo, 12), 0.7, 1.0))
        parts.append(Part(bar((0, -0.4), (side * 0.25, -0.85), 0.07), 0.2))
    parts.append(Part(ellipse(0, 0, 0.1, rng.uniform(0.5, 0.62)), 0.15))
    return parts


def _car(rng):
    length, height = 0.92, rng.uniform(0.3, 0.4)
    roof, front = rng.uniform(0.38, 0.52), rng.uniform(0.25, 0.5)
    back = rng.uniform(0.5, 0.8)
    radius = rng.uniform(0.22, 0.28)
    cabin = polygon((-back, 0.02), (-back + 0.18, -roof), (front - 0.3, -roof), (front, 0.02))
    nose = height * rng.uniform(0.2, 0.4)
    body = polygon(
        (-length, 0.06),
        (-length + 0.08, 0),
        (front, 0),
        (length - 0.1, nose),
        (length, nose + 0.1),
        (length, height),
        (-length, height),
    )
    parts = [Part(cabin, 0.5), Part(body, 0.5)]
    panes = int(rng.integers(2, 4))
    left, right = -back + 0.2, front - 0.24
    step = (right - left) / panes
    for k in range(panes):
        x0, x1 = left + k * step, left + (k + 1) * step - 0.06
        lean0, lean1 = (0.1 if k == 0 else 0), (0.18 if k == panes - 1 else 0)
        top = -roof + 0.08
        lean1 /= 2
        pane = polygon((x0 - lean0, -0.03), (x0, top), (x1 - lean1, top), (x1 + lean1, -0.03))
        parts.append(Part(pane, 0.85, 1.0))
    parts.append(Part(rectangle(-length, height - 0.09, length, height), 0.3))
    parts.append(Part(rectangle(length - 0.14, nose + 0.04, length, nose + 0.13), 0.95, 1.0))
    for x in (-0.52, rng.uniform(0.46, 0.55)):
        parts.append(Part(ellipse(x, height, radius, radius), 0.05))
        parts.append(Part(ellipse(x, height, radius * 0.5, radius * 0.5, 0, 14), 0.8, 0.7))
    return parts


def _cup(rng):
    top, base = rng.uniform(0.5, 0.65), rng.uniform(0.32, 0.48)
    tall, rim = rng.uniform(0.55, 0.75), rng.uniform(0.1, 0.17)
    ring, thick = rng.uniform(0.28, 0.38), rng.uniform(0.11, 0.15)
    x, y = (top + base) / 2 + ring * 0.55, rng.uniform(-0.12, 0.05)
    parts = [
        Part(ellipse(x, y, ring, ring * 1.15), 0.42),
        Part(ellipse(x, y, ring - thick, ring * 1.15 - thick), hole=True),
        Part(ellipse(0, tall, base, rim), 0.4),
        Part(polygon((-top, -tall), (top, -tall), (base, tall), (-base, tall)), 0.52),
    ]
    for k in range(int(rng.integers(0, 3))):
        # A band follows the taper of the wall.
        y0 = -tall * 0.45 + k * 0.38
        w0, w1 = (top + (base - top) * (v + tall) / (2 * tall) for v in (y0, y0 + 0.17))
        band = polygon((-w0, y0), (w0, y0), (w1, y0 + 0.17), (-w1, y0 + 0.17))
        parts.append(Part(band, 0.55, 1.0))
    parts.append(Part(ellipse(0, -tall, top, rim), 0.75, 0.2))
    parts.append(Part(ellipse(0, -tall, top * 0.82, rim * 0.68), 0.12, 0.4))
    return parts


def _fish(rng):
    deep, tail = rng.uniform(0.3, 0.45), rng.uniform(0.32, 0.5)
    notch = rng.uniform(-0.72, -0.6)
    fin = rng.uniform(0.16, 0.3)
    parts = [
        Part(polygon((-0.5, 0), (-1.0, -tail), (notch - 0.1, 0), (-1.0, tail)), 0.42, 0.6),
        Part(polygon((-0.3, -deep * 0.7), (-0.2, -deep - fin), (0.3, -deep * 0.8)), 0.42, 0.6),
        Part(polygon((-0.2, deep * 0.7), (-0.25, deep + fin * 0.8), (0.15, deep * 0.8)), 0.38, 0.6),
        Part(ellipse(0.1, 0, 0.7, deep), 0.55),
    ]
    for k in range(int(rng.integers(0, 4))):
        x = -0.3 + 0.24 * k
        half = deep * math.sqrt(1 - ((x - 0.1) / 0.7) ** 2) * 0.9
        parts.append(Part(ellipse(x, 0, 0.07, half), 0.5, 1.0))
    parts.append(Part(polygon((0.12, 0.05), (-0.18, 0.2), (-0.08, -0.02)), 0.3, 0.6))
    parts.append(Part(ellipse(0.52, -deep * 0.25, 0.1, 0.1, 0, 14), 0.95, 0.3))
    parts.append(Part(ellipse(0.53, -deep * 0.25, 0.055, 0.055, 0, 12), 0.0))
    return parts


def _flower(rng):
    petals = int(rng.integers(5, 10))
    core = rng.uniform(0.22, 0.32)
    half = min(0.3, 0.95 * math.pi * 0.62 / petals) * rng.uniform(0.85, 1.0)
    parts = []
    for k in range(petals):
        petal = ellipse(0.62, 0, 0.38, half, 0, 18)
        tone = 0.56 if k % 2 else 0.44
        parts.append(Part(rotate(petal, 2 * math.pi * k / petals), tone))
    parts.append(Part(ellipse(0, 0, core, core), 0.55, 1.0))
    parts.append(Part(ellipse(0, 0, core * 0.55, core * 0.55, 0, 14), 0.3, 1.0))
    return parts


def _house(rng):
    half, tall = rng.uniform(0.6, 0.8), rng.uniform(0.75, 1.05)
    peak, eaves = rng.uniform(0.5, 0.75), rng.uniform(0.08, 0.18)
    flat = rng.choice([0.0, rng.uniform(0.15, 0.4)])
    parts = []
    if rng.random() < 0.7:
        x = rng.uniform(0.25, 0.45)
        parts.append(Part(rectangle(x, -peak * 1.1, x + 0.18, -0.1), 0.35))
    parts.append(Part(rectangle(-half, 0, half, tall), 0.55))
    wide = half + eaves
    roof = polygon((-wide, 0.04), (-flat, -peak), (flat + 1e-3, -peak), (wide, 0.04))
    parts.append(Part(roof, 0.42, 0.9))
    columns, rows = int(rng.integers(2, 4)), int(rng.integers(1, 3))
    door = int(rng.integers(columns))
    step, rise = 2 * half / columns, tall / (rows + 0.1)
    for c in range(columns):
        middle = -half + (c + 0.5) * step
        for r in range(rows):
            y0 = 0.12 + r * rise * 0.95
            if c == door and r == rows - 1:
                parts.append(Part(rectangle(middle - 0.13, tall - 0.45, middle + 0.13, tall), 0.15))
            else:
                w, h = min(0.16, step * 0.32), min(0.32, rise * 0.6)
                parts.append(Part(rectangle(middle - w, y0, middle + w, y0 + h), 0.92, 0.6))
                parts.append(Part(rectangle(middle - 0.02, y0, middle + 0.02, y0 + h), 0.3))
    return parts


def _key(rng):
    bow, thick = rng.uniform(0.32, 0.42), rng.uniform(0.12, 0.16)
    shaft = rng.uniform(0.13, 0.18)
    lobes = int(rng.choice([1, 3]))
    parts = []
    if lobes == 1:
        parts.append(Part(ellipse(-0.6, 0, bow, bow * rng.uniform(0.8, 1.1)), 0.52))
    else:
        for turn in (-math.pi / 2, math.pi / 2, math.pi):
            x, y = -0.6 + 0.2 * math.cos(turn), 0.26 * math.sin(turn)
            parts.append(Part(ellipse(x, y, bow * 0.72, bow * 0.72), 0.52))
    inner = (bow - thick) if lobes == 1 else bow * 0.5
    parts.append(Part(ellipse(-0.62, 0, inner, inner), hole=True))
    parts.append(Part(rectangle(-0.62 + inner, -shaft / 2, 1.0, shaft / 2), 0.5))
    parts.append(Part(rectangle(-0.24, -shaft * 0.9, -0.14, shaft * 0.9), 0.6, 1.0))
    teeth = int(rng.integers(2, 5))
    for k in range(teeth):
        x = 0.98 - 0.2 * k
        deep = shaft / 2 + rng.uniform(0.16, 0.32)
        parts.append(Part(rectangle(x - 0.12, 0, x, deep), 0.42))
    return parts


def _ladder(rng):
    top, base = rng.uniform(0.26, 0.34), rng.uniform(0.34, 0.44)
    width, rung = rng.uniform(0.11, 0.15), rng.uniform(0.09, 0.12)
    rungs = int(rng.integers(4, 7))
    parts = []
    for k in range(rungs):
        y = -0.8 + 1.6 * k / (rungs - 1)
        half = top + (base - top) * (y + 1) / 2
        parts.append(Part(bar((-half, y), (half, y), rung), 0.62, 0.7))
    for side in (-1, 1):
        parts.append(Part(bar((side * top, -1), (side * base, 1), width), 0.45))
    return parts


def _star(rng):
    points = int(rng.integers(5, 8))
    inner = rng.uniform(0.38, 0.52)
    step = math.pi / points
    ring = [
        (
            (1.0 if k % 2 == 0 else inner) * math.cos(k * step),
            (1.0 if k % 2 == 0 else inner) * math.sin(k * step),
        )
        for k in range(2 * points)
    ]
    # Each ray has a lit and a dark facet, as on a compass rose.
    parts = [Part(polygon(*ring), 0.5)]
    for k in range(2 * points):
        facet = polygon((0, 0), ring[k], ring[(k + 1) % (2 * points)])
        parts.append(Part(facet, 0.68 if k % 2 else 0.32, 0.0 if k % 2 else 0.5))
    return parts


def _tree(rng):
    lobes = int(rng.integers(5, 9))
    trunk = rng.uniform(0.15, 0.22)
    wide, high = rng.uniform(0.34, 0.48), rng.uniform(0.34, 0.46)
    parts = [
        Part(bar((0, 1.0), (0, -0.2), trunk * 1.4, trunk * 0.8), 0.4, 1.0),
        Part(bar((0, 0.45), (wide * 0.7, 0.0), 0.1), 0.4, 1.0),
        Part(bar((0, 0.55), (-wide * 0.7, 0.0), 0.1), 0.4, 1.0),
    ]
    for k in range(lobes):
        t = math.pi * 2 * (k + rng.uniform(-0.2, 0.2)) / lobes
        r = rng.uniform(0.28, 0.36)
        lump = blob(rng, 0.06, 16) * r + (wide * math.cos(t), -0.35 + high * math.sin(t))
        parts.append(Part(lump, 0.42 + 0.16 * (k % 3) / 2))
    parts.append(Part(ellipse(0, -0.4, wide, high), 0.52))
    for _ in range(int(rng.integers(0, 5))):
        x, y = rng.uniform(-0.45, 0.45), rng.uniform(-0.75, -0.1)
        parts.append(Part(ellipse(x, y, 0.08, 0.08, 0, 12), 0.75, 1.0))
    return parts


_LEAN = math.pi / 6

# The order is part of the format: it gives the class numbers.
CLASSES: tuple[ShapeClass, ...] = (
    ShapeClass('butterfly', _butterfly, _LEAN),
    ShapeClass('car', _car, _LEAN),
    ShapeClass('cup', _cup, _LEAN),
    ShapeClass('fish', _fish, _LEAN),
    ShapeClass('flower', _flower, math.pi),
    ShapeClass('house', _house, _LEAN),
    ShapeClass('key', _key, _LEAN),
    ShapeClass('ladder', _ladder, _LEAN),
    ShapeClass('star', _star, math.pi),
    ShapeClass('tree', _tree, _LEAN),
)
CLASS_NAMES: tuple[str, ...] = tuple(shape.name for shape in CLASSES)
