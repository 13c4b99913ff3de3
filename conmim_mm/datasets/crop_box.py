"""The box of a random resized crop."""

import math

import numpy as np

CROP_ATTEMPTS = 10


def random_crop_box(image_size: tuple[int, int], scale: tuple[float, float],
                    ratio: tuple[float, float],
                    rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Draws the box of a random resized crop, as in torchvision's ``RandomResizedCrop``.

    Args:
        image_size: Width and height of the image in pixels.
        scale: Range of the crop's share of the image area.
        ratio: Range of the crop's width over height; drawn uniformly on a log scale.
        rng: Source of randomness.

    Returns:
        Left, top, right, bottom in pixels. Where ten draws do not fit, the largest central box
        whose ratio lies in the range.
    """
    width, height = image_size
    for _ in range(CROP_ATTEMPTS):
        area = width * height * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, top, left + w, top + h

    w = min(width, round(height * ratio[1]))
    h = min(height, round(width / ratio[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h
