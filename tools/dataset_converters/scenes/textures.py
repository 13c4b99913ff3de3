"""Procedural textures and colours.

Only ``+ - * /`` and ``floor`` touch the pixels (no ``sin``, no ``pow``): these are exact in IEEE
arithmetic, so that a picture is the same on every machine.
"""

import colorsys
import math
from collections.abc import Callable

import numpy as np

_TABLE = 64  # side of the periodic lattice behind the noise; a power of two for the bit mask


def smoothstep(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Cubic ramp from 0 at ``low`` to 1 at ``high``, clipped outside; the shape of ``x``."""
    t = np.clip((x - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)


def wave(x: np.ndarray) -> np.ndarray:
    """Smooth periodic wave of period 1 with values in [0, 1] (a stand-in for the cosine)."""
    t = np.abs(2 * (x - np.floor(x)) - 1)
    return t * t * (3 - 2 * t)


def value_noise(
    rng: np.random.Generator, u: np.ndarray, v: np.ndarray, octaves: int = 3
) -> np.ndarray:
    """Multi-octave value noise.

    Args:
        rng: source of the lattice values.
        u: horizontal coordinate, (H, W) float32; the coarsest octave has cells of size 1.
        v: vertical coordinate, (H, W) float32.
        octaves: how many octaves, each of half the amplitude and twice the frequency.

    Returns:
        (H, W) float32, values in [0, 1], stretched so that most of that range is used.
    """
    table = rng.random(_TABLE * _TABLE, dtype=np.float32)
    total = np.zeros(u.shape, np.float32)
    amplitude, norm = 1.0, 0.0
    for _ in range(octaves):
        floor_u, floor_v = np.floor(u), np.floor(v)
        frac_u, frac_v = u - floor_u, v - floor_v
        frac_u *= frac_u * (3 - 2 * frac_u)
        frac_v *= frac_v * (3 - 2 * frac_v)
        col = floor_u.astype(np.int32) & (_TABLE - 1)
        row = (floor_v.astype(np.int32) & (_TABLE - 1)) * _TABLE
        col_next = (col + 1) & (_TABLE - 1)
        row_next = (row + _TABLE) & (_TABLE * _TABLE - 1)
        top = table[row + col]
        top += (table[row + col_next] - top) * frac_u
        low = table[row_next + col]
        low += (table[row_next + col_next] - low) * frac_u
        total += (top + (low - top) * frac_v) * np.float32(amplitude)
        norm += amplitude
        amplitude *= 0.5
        # The shift keeps the octaves' lattices from lining up.
        u, v = u * 2 + np.float32(5.37), v * 2 + np.float32(9.71)
    return np.clip((total / np.float32(norm) - 0.5) * np.float32(1.5) + 0.5, 0, 1)


def random_colour(
    rng: np.random.Generator,
    saturation: tuple[float, float] = (0.1, 0.95),
    value: tuple[float, float] = (0.2, 1.0),
) -> np.ndarray:
    """One random RGB colour: (3,) float32 in 0..255, hue uniform."""
    hue, sat, val = rng.random(), rng.uniform(*saturation), rng.uniform(*value)
    return np.array(colorsys.hsv_to_rgb(hue, sat, val), np.float32) * 255


def random_palette(rng: np.random.Generator, colours: int = 3) -> np.ndarray:
    """A look-up table of colours, (256, 3) float32 in 0..255.

    It runs through a few related colours: one hue that drifts, brightness that moves freely.
    """
    hue, sat = rng.random(), rng.uniform(0.05, 0.75)
    drift, base = rng.uniform(-0.1, 0.1), rng.uniform(0.25, 0.85)
    contrast = rng.uniform(0.06, 0.26)
    stops = []
    for k in range(colours):
        val = min(max(base + rng.uniform(-1, 1) * contrast, 0.08), 0.98)
        part = min(max(sat + rng.uniform(-0.15, 0.15), 0.0), 1.0)
        stops.append(colorsys.hsv_to_rgb((hue + drift * k) % 1.0, part, val))
    knots = np.linspace(0, 255, colours)
    ramp = np.arange(256)
    channels = [np.interp(ramp, knots, [stop[c] for stop in stops]) for c in range(3)]
    return (np.stack(channels, axis=1) * 255).astype(np.float32)


def oriented_grid(size: int, angle: float, cells: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotated coordinates of a square picture.

    Args:
        size: side of the picture in pixels.
        angle: rotation in radians.
        cells: how many units of coordinate the side of the picture spans.

    Returns:
        u, v: both (size, size) float32, zero at the top left corner.
    """
    axis = np.arange(size, dtype=np.float32) * np.float32(cells / size)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    x, y = axis[None, :], axis[:, None]
    return x * cos + y * sin, y * cos - x * sin


def _clouds(rng, u, v):
    return value_noise(rng, u * 3, v * 3, 4)


def _gradient(rng, u, v):
    return np.clip(u * np.float32(0.7) + value_noise(rng, u * 5, v * 5, 3) * 0.4, 0, 1)


def _wood(rng, u, v):
    bend = value_noise(rng, u, v * 3, 2)
    grain = value_noise(rng, u * 3, v * 24, 2)
    return wave(v * np.float32(rng.uniform(2, 5)) + bend * 2) * 0.65 + grain * 0.35


def _grass(rng, u, v):
    return value_noise(rng, u * 18, v * np.float32(rng.uniform(3, 5)), 3)


def _stripes(rng, u, v):
    bend = value_noise(rng, u * 2, v * 2, 2) * np.float32(rng.uniform(0, 1.2))
    edge = rng.uniform(0.08, 0.45)
    return smoothstep(wave(u * np.float32(rng.uniform(3, 9)) + bend), 0.5 - edge, 0.5 + edge)


def _tiles(rng, u, v):
    rows, stretch = rng.uniform(3, 7), rng.uniform(1, 2.2)
    y = v * np.float32(rows)
    row = np.floor(y)
    shift = np.float32(rng.choice([0.0, 0.5]))
    x = u * np.float32(rows / stretch) + (row - 2 * np.floor(row / 2)) * shift
    col = np.floor(x)
    tone = rng.random(256, dtype=np.float32)
    tone = tone[(col.astype(np.int32) * 37 + row.astype(np.int32) * 101) & 255]
    width = np.float32(0.06 * rows / 4)
    gap_x = np.minimum(x - col, 1 - (x - col)) * np.float32(stretch)
    gap = smoothstep(np.minimum(gap_x, np.minimum(y - row, 1 - (y - row))), 0, 2 * width)
    return (0.4 + 0.6 * tone) * gap


def _checks(rng, u, v):
    k = np.float32(rng.uniform(2, 5))
    a = smoothstep(wave(u * k), 0.35, 0.65)
    b = smoothstep(wave(v * k), 0.35, 0.65)
    return a * (1 - b) + b * (1 - a)


def _blobs(rng, u, v):
    k = np.float32(rng.uniform(4, 8))
    return smoothstep(value_noise(rng, u * k, v * k, 1), 0.42, 0.58)


def _ripples(rng, u, v):
    x, y = u - np.float32(rng.uniform(-0.5, 1.5)), v - np.float32(rng.uniform(-0.5, 1.5))
    bend = value_noise(rng, u * 3, v * 3, 2) * np.float32(0.6)
    return wave(np.sqrt(x * x + y * y) * np.float32(rng.uniform(3, 8)) + bend)


# The order is part of the format: a picture's bytes depend on it.
TEXTURES: dict[str, Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]] = {
    'clouds': _clouds,
    'gradient': _gradient,
    'wood': _wood,
    'grass': _grass,
    'stripes': _stripes,
    'tiles': _tiles,
    'checks': _checks,
    'blobs': _blobs,
    'ripples': _ripples,
}


def texture_field(rng: np.random.Generator, size: int, zoom: float = 1.0) -> np.ndarray:
    """A random texture at a random orientation: (size, size) float32 in [0, 1]."""
    paint = TEXTURES[list(TEXTURES)[int(rng.integers(len(TEXTURES)))]]
    u, v = oriented_grid(size, rng.uniform(0, 2 * math.pi), zoom * rng.uniform(0.7, 1.3))
    return paint(rng, u, v)


def textured_surface(rng: np.random.Generator, size: int) -> np.ndarray:
    """One texture in one palette, (size, size, 3) float32 in 0..255."""
    field = texture_field(rng, size)
    # Grain of two pixels, coarse enough to outlive the JPEG.
    half = (size + 1) // 2
    grain = rng.random((half, half), dtype=np.float32) - np.float32(0.5)
    grain = grain.repeat(2, axis=0).repeat(2, axis=1)[:size, :size]
    field = np.clip(field + grain * np.float32(rng.uniform(0.02, 0.12)), 0, 1)
    palette = random_palette(rng, int(rng.integers(2, 5)))
    return palette[(field * 255).astype(np.uint8)]


def broad_field(rng: np.random.Generator, size: int) -> np.ndarray:
    """Colour that drifts over the whole picture, (size, size, 3) float32 in 0..255.

    As in photos, most of the contrast is at the largest scales: what is where can be told from far
    away, which a periodic texture alone doesn't allow.
    """
    u, v = oriented_grid(size, rng.uniform(0, 2 * math.pi), 1.0)
    cells = np.float32(rng.uniform(0.8, 2.2))
    field = value_noise(rng, u * cells + 7, v * cells + 7, 3)
    slope = u - u.min()
    field = np.clip(field * np.float32(0.6) + slope * np.float32(rng.uniform(0.2, 0.5)), 0, 1)
    stops = np.stack([random_colour(rng, (0.1, 0.8), (0.15, 0.95)) for _ in range(3)])
    knots, ramp = np.linspace(0, 255, 3), np.arange(256)
    palette = np.stack([np.interp(ramp, knots, stops[:, c]) for c in range(3)], axis=1)
    return palette.astype(np.float32)[(field * 255).astype(np.uint8)]


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A background: one surface, or two that meet along a rough line.

    Args:
        rng: source of every choice.
        size: side in pixels.

    Returns:
        (size, size, 3) float32, RGB in 0..255.
    """
    image = textured_surface(rng, size)
    if rng.random() < 0.35:
        u, v = oriented_grid(size, rng.uniform(-0.4, 0.4), 1.0)
        line = v + (value_noise(rng, u * 4, v * 4, 2) - 0.5) * np.float32(rng.uniform(0.05, 0.3))
        level = rng.uniform(0.35, 0.75)
        share = smoothstep(line, level - 0.015, level + 0.015)[..., None]
        image = image + (textured_surface(rng, size) - image) * share
    return image + (broad_field(rng, size) - image) * np.float32(rng.uniform(0.5, 0.85))
