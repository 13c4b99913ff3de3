"""Line charts as SVG inside of a page.

Not by Matplotlib: a report is written while the model trains, and these charts take a hundredth of
the time, follow the page's colours in the dark and in print, and keep their numbers for a read-out.
"""

import json
import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from .numbers import short, tick_label, ticks
from .run_log import finite

WIDTH, HEIGHT = 360, 210  # units of the drawing; a unit is about a pixel
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 34
MAX_POINTS = 600  # of a line; of more, neighbours are put together
MAX_MARKED = 20  # points of lines that get a dot each


class Line(NamedTuple):
    """One line of a chart.

    Attributes:
        label: What it shows.
        x: Steps.
        y: Values; those that are not finite make a gap.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]


class Level(NamedTuple):
    """A horizontal line to compare with.

    Attributes:
        label: What it is.
        y: Where.
    """

    label: str
    y: float


class Stroke(NamedTuple):
    """How a line looks on the page; the number of its style and what is drawn."""

    label: str
    style: int
    last: str
    path: str
    band: str
    marks: list[tuple[float, float]]


class Chart:
    """Coordinates of everything that a chart consists of; the page's template draws it.

    Args:
        lines: At most five, at least one of them with a finite value.
        levels: To compare with.
        from_zero: Whether the vertical axis starts at 0.

    Attributes:
        strokes: The lines.
        marks: Levels, with label, place and where their label stands.
        x_ticks: Place and text of each.
        y_ticks: Place and text of each.
        readout: The numbers, as JSON.
        thinned: How many values there are to a point of the lines at most.
    """

    def __init__(self, lines: Sequence[Line], levels: Sequence[Level] = (),
                 from_zero: bool = False) -> None:
        values = [y for line in lines for y in line.y if finite(y)]
        self._x = _range(0., max(x for line in lines for x in line.x))
        low = min([*values, *(level.y for level in levels)])
        high = max([*values, *(level.y for level in levels)])
        margin = (0.14 if levels else 0.06) * (high - low)  # a level's label stands above it
        self._y = (_range(min(0., low), high + margin) if from_zero
                   else _range(low - margin, high + margin))
        thinned = [_thin(line) for line in lines]
        self._marked = max(map(len, thinned)) <= MAX_MARKED
        self.thinned = max(math.ceil(len(line.x) / MAX_POINTS) for line in lines)
        self.strokes = [self._stroke(number, line, bins)
                        for number, (line, bins) in enumerate(zip(lines, thinned, strict=True))]
        self.marks = [dict(label=level.label, y=self._down(level.y),
                           label_y=self._down(level.y) - 5) for level in levels]
        self.x_ticks = self._ticks(self._x, 4, self._across)
        self.y_ticks = self._ticks(self._y, 5, self._down)
        self.readout = json.dumps([
            dict(label=line.label, style=number,
                 points=[[point.x, self._across(point.x), short(point.mean),
                          self._down(point.mean)] for point in bins if point is not None])
            for number, (line, bins) in enumerate(zip(lines, thinned, strict=True))])

    def _across(self, x: float) -> float:
        low, high = self._x
        return round(LEFT + (x - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def _down(self, y: float) -> float:
        low, high = self._y
        return round(TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    def _ticks(self, limits: tuple[float, float], count: int, place) -> list[tuple[float, str]]:
        found = ticks(*limits, count)
        step = found[1] - found[0] if len(found) > 1 else max(abs(found[0]), 1e-9)
        return [(place(value), tick_label(value, step)) for value in found]

    def _stroke(self, number: int, line: Line, bins: list) -> Stroke:
        segments = _split(bins)
        path = ' '.join(self._path([(point.x, point.mean) for point in part]) for part in segments)
        band = ' '.join(
            self._path([(point.x, point.high) for point in part]
                       + [(point.x, point.low) for point in reversed(part)]) + 'Z'
            for part in segments if any(point.high > point.low for point in part))
        points = [point for part in segments for point in part]
        marks = [(self._across(point.x), self._down(point.mean))
                 for point in points if self._marked]
        last = next((short(y) for y in reversed(line.y) if finite(y)), '–')
        return Stroke(line.label, number, last, path, band, marks)

    def _path(self, points: list[tuple[float, float]]) -> str:
        return 'M' + 'L'.join(f'{self._across(x):g} {self._down(y):g}' for x, y in points)


class Bin(NamedTuple):
    """Neighbouring values of a line put together."""

    x: float
    mean: float
    low: float
    high: float


def _thin(line: Line) -> list[Bin | None]:
    """At most ``MAX_POINTS`` bins of a line, None for one without a finite value."""
    size = math.ceil(len(line.x) / MAX_POINTS)
    bins = []
    for start in range(0, len(line.x), max(size, 1)):
        part = [(x, y) for x, y in zip(line.x[start:start + size], line.y[start:start + size],
                                       strict=True) if finite(y)]
        if not part:
            bins.append(None)
            continue
        ys = [y for _, y in part]
        bins.append(Bin(part[-1][0], math.fsum(ys) / len(ys), min(ys), max(ys)))
    return bins


def _split(bins: list[Bin | None]) -> list[list[Bin]]:
    """The pieces between gaps."""
    return [[*piece] for is_gap, piece in groupby(bins, lambda one: one is None) if not is_gap]


def _range(low: float, high: float) -> tuple[float, float]:
    """A range of some extent."""
    if high - low > 1e-12 * max(abs(low), abs(high), 1e-9):
        return low, high
    half = abs(low) / 2 or 0.5
    return low - half, high + half
