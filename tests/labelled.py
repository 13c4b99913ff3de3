"""Labelled images, and maps, that a toy backbone can tell apart, by their colours."""

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


def write_labelled_maps(folder: Path, part: str = '', count: int = 10, side: int = 32) -> Path:
    """``images`` and ``annotations``: a field of each colour, and a strip without a label."""
    rng = np.random.default_rng(len(part))
    colours = np.array([*COLOURS.values()])
    for kind in ('images', 'annotations'):
        (folder / kind / part).mkdir(parents=True)
    for i in range(count):
        labels = np.zeros((side, side), np.uint8)
        cut, turn = rng.integers(8, side - 8, 2)
        labels[cut:, :turn], labels[cut:, turn:], labels[:, 0] = 1, 2, 255
        noise = rng.integers(-60, 61, (side, side, 3))
        image = np.clip(colours[labels % 255] + noise, 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / 'images' / part / f'{i}.png')
        Image.fromarray(labels).save(folder / 'annotations' / part / f'{i}.png')
    return folder
