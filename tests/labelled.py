"""Labelled images that a toy backbone can tell apart, by their colours."""

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = dict(blue=(40, 60, 200), green=(60, 170, 50), red=(190, 50, 60))


def write_labelled_images(folder: Path, count: int = 10, side: int = 36) -> Path:
    """``CLASS/*.png``: noise around a colour for each class, the same every time."""
    rng = np.random.default_rng(1)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            noise = rng.integers(-120, 121, (side, side, 3))
            image = np.clip(noise + rng.integers(-160, 161, 3) + colour, 0, 255).astype(np.uint8)
            Image.fromarray(image).save(folder / name / f'{i}.png')
    return folder
