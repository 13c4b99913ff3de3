"""Anti-aliased rendering of polygon objects onto a picture.

An object is drawn at several times the resolution into one three-channel canvas (coverage, tone,
accent) and averaged down; colour, relief and texture are added at the final resolution. OpenCV is
used on 8-bit pixels only, where its results are exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .geometry import Part, blob, place
from .shapes import ShapeClass
from .textures import random_colour, smoothstep, texture_field

_TEXTURED_FROM = 10  # pixels; a texture on anything smaller would only be noise
_SHIFT = 4  # fractional bits of the vertices handed to OpenCV


@dataclass
class Tile:
    """A rendered object, ready to be laid over a picture.

    Attributes:
        alpha: coverage, (T, T) float32 in [0, 1].
        rgb: colour, (T, T, 3) float32 in 0..255, meaningful where alpha > 0.
        x, y: column and row of the tile's top left pixel in the picture; may be negative.
    """

    alpha: np.ndarray
    rgb: np.ndarray
    x: int
    y: int

    def window(self, size: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Slices (in the picture, in the tile) of the part inside a picture of side ``size``."""
        side = self.alpha.shape[0]
        x0, y0 = max(self.x, 0), max(self.y, 0)
        x1, y1 = max(min(self.x + side, size), x0), max(min(self.y + side, size), y0)
        inside = slice(y0 - self.y, y1 - self.y), slice(x0 - self.x, x1 - self.x)
        return (slice(y0, y1), slice(x0, x1)), inside

    def coverage(self, size: int) -> np.ndarray:
        """The coverage in a whole picture of side ``size``: (size, size) float32."""
        full = np.zeros((size, size), np.float32)
        outer, inner = self.window(size)
        full[outer] = self.alpha[inner]
        return full


def rasterise(parts: Sequence[Part], side: int, origin: tuple[float, float]) -> np.ndarray:
    """Draw parts, averaged down from a finer grid.

    Args:
        parts: polygons in pixels.
        side: side T of the result.
        origin: where the parts' origin lies in the result, (x, y) in pixels.

    Returns:
        (T, T, 3) uint8: coverage, and tone and accent multiplied by coverage.
    """
    fine = 4 if side <= 160 else 2
    canvas = np.zeros((side * fine, side * fine, 3), np.uint8)
    unit = fine * (1 << _SHIFT)
    for part in parts:
        # Pixel k of OpenCV is centred on k, not on k + 1/2.
        points = (part.points + origin) * unit - (1 << _SHIFT) / 2
        colour = (0, 0, 0) if part.hole else (255, int(part.tone * 255), int(part.accent * 255))
        cv2.fillPoly(canvas, [np.rint(points).astype(np.int32)], colour, cv2.LINE_8, _SHIFT)
    return cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)


def _blurred(channel: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(channel, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)


def _shifted(image: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """Moved by whole pixels, zeros moving in."""
    out = np.zeros_like(image)
    rows, cols = image.shape[:2]
    out[max(dy, 0) : rows + min(dy, 0), max(dx, 0) : cols + min(dx, 0)] = image[
        max(-dy, 0) : rows + min(-dy, 0), max(-dx, 0) : cols + min(-dx, 0)
    ]
    return out


def object_colours(rng: np.random.Generator, around: np.ndarray) -> np.ndarray:
    """Two colours for an object, (2, 3) float32 in 0..255.

    Both are drawn without regard to the class; the first must differ from ``around``, the mean
    colour (3,) of the place where the object will lie, the second from the first.
    """
    first = random_colour(rng)
    for _ in range(6):
        if np.abs(first - around).sum() > 170:
            break
        first = random_colour(rng)
    second = random_colour(rng)
    for _ in range(6):
        if np.abs(second - first).sum() > 200:
            break
        second = random_colour(rng)
    return np.stack([first, second])


def render_parts(
    rng: np.random.Generator,
    parts: Sequence[Part],
    extent: float,
    centre: tuple[float, float],
    light: tuple[float, float],
    around: np.ndarray,
) -> Tile:
    """Render placed parts with a relief lit from ``light`` and a faint surface texture.

    Args:
        rng: source of colours and texture.
        parts: polygons in pixels around the origin.
        extent: longest side of the object in pixels.
        centre: (x, y) of the object's centre in the picture, in pixels.
        light: unit vector (x, y) towards the light.
        around: mean colour (3,) of the background, in 0..255.
    """
    pad = int(extent * 0.06) + 2
    side = int(extent) + 2 * pad + 1
    x, y = int(np.floor(centre[0])) - side // 2, int(np.floor(centre[1])) - side // 2
    drawn = rasterise(parts, side, (centre[0] - x, centre[1] - y))
    alpha = drawn[..., 0].astype(np.float32) / 255
    solid = np.maximum(alpha, np.float32(1 / 255))
    tone = drawn[..., 1].astype(np.float32) / 255 / solid
    accent = (drawn[..., 2].astype(np.float32) / 255 / solid)[..., None]

    colours = object_colours(rng, around)
    rgb = colours[0] + (colours[1] - colours[0]) * np.minimum(accent, 1)

    # Relief: the coverage, blurred, is a height whose slope along the light brightens or darkens.
    soft = _blurred(drawn[..., 0], max(extent * 0.05, 0.8)).astype(np.float32) / 255
    slope_x = (_shifted(soft, 1, 0) - _shifted(soft, -1, 0)) * np.float32(light[0])
    slope_y = (_shifted(soft, 0, 1) - _shifted(soft, 0, -1)) * np.float32(light[1])
    relief = (slope_x + slope_y) * np.float32(-extent * rng.uniform(0.015, 0.035))
    shade = 0.5 + np.minimum(tone, 1) + relief
    if extent >= _TEXTURED_FROM:
        texture = texture_field(rng, side, extent / 40 + 0.4) - np.float32(0.5)
        shade += texture * np.float32(rng.uniform(0.05, 0.25))
    rgb = np.clip(rgb * shade[..., None] + np.maximum(shade - 1.1, 0)[..., None] * 90, 0, 255)
    return Tile(alpha, rgb, x, y)


def render_object(
    rng: np.random.Generator,
    shape: ShapeClass,
    extent: float,
    centre: tuple[float, float],
    light: tuple[float, float],
    around: np.ndarray,
) -> Tile:
    """Draw one random member of a class at a random orientation; arguments as `render_parts`."""
    angle, mirror = rng.uniform(-shape.turn, shape.turn), bool(rng.random() < 0.5)
    parts = place(shape.build(rng), angle, mirror, extent)
    return render_parts(rng, parts, extent, centre, light, around)


def render_clutter(
    rng: np.random.Generator, extent: float, centre: tuple[float, float], light: tuple[float, float]
) -> Tile:
    """A shapeless thing (stone, leaf, chip, stick) that belongs to no class."""
    points = blob(rng, 0.25, 18)
    kind = rng.random()
    if kind < 0.25:
        points = points * (1.0, 0.25)
    elif kind < 0.5:
        # Every third vertex only: a chip with corners.
        points = points[:: int(rng.integers(3, 6))]
    parts = place([Part(points, rng.uniform(0.35, 0.65))], rng.uniform(-3.2, 3.2), False, extent)
    return render_parts(rng, parts, extent, centre, light, random_colour(rng))


def lay(image: np.ndarray, tile: Tile) -> None:
    """Lay a tile over a picture (S, S, 3) float32, in place."""
    outer, inner = tile.window(image.shape[0])
    alpha = tile.alpha[inner][..., None]
    image[outer] += (tile.rgb[inner] - image[outer]) * alpha


def lay_shadow(
    image: np.ndarray, tile: Tile, light: tuple[float, float], reach: float, strength: float
) -> None:
    """Darken a picture (S, S, 3) float32 in place by a tile's soft shadow.

    Args:
        image: the picture.
        tile: what casts the shadow.
        light: unit vector towards the light; the shadow falls to the other side.
        reach: how far, in pixels.
        strength: share of light taken away in the core, 0 to 1.
    """
    size = image.shape[0]
    full = (tile.coverage(size) * 255).astype(np.uint8)
    full = _shifted(full, round(-light[0] * reach), round(-light[1] * reach))
    shadow = _blurred(full, max(reach * 0.5, 0.7)).astype(np.float32) / 255
    image *= 1 - shadow[..., None] * np.float32(strength)


def finish(rng: np.random.Generator, image: np.ndarray, light: tuple[float, float]) -> np.ndarray:
    """Illumination, lens blur and sensor noise: (S, S, 3) float32 to (S, S, 3) uint8."""
    size = image.shape[0]
    axis = (np.arange(size, dtype=np.float32) + 0.5) / np.float32(size) - 0.5
    fall = axis[None, :] * np.float32(light[0]) + axis[:, None] * np.float32(light[1])
    gain = np.float32(rng.uniform(0.85, 1.1)) + fall * np.float32(rng.uniform(0.1, 0.6))
    radius = axis[None, :] * axis[None, :] + axis[:, None] * axis[:, None]
    gain -= smoothstep(radius, 0.1, 0.6) * np.float32(rng.uniform(0, 0.35))
    out = np.clip(image * gain[..., None], 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.4, 0.8)) * (size / 64) ** 0.5)
    level = int(rng.integers(1, 4))
    noise = rng.integers(-level, level + 1, (size, size, 3), dtype=np.int16)
    return np.clip(out + noise, 0, 255).astype(np.uint8)
