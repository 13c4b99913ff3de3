"""Damaged images for fuzz.py."""

import io
from functools import cache
from pathlib import Path

import numpy as np
from damages import Fault, choose, damaged, encoded
from PIL import Image

from conmim_mm.datasets import LoadTwoViews, SampleIndex, read_rgb

MAX_PIXELS = 10**6
POSTSCRIPT = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n'


@cache
def jpegs() -> list[bytes]:
    """Photographs so to speak: large enough to be decoded in part, of all usual kinds."""
    y, x = np.mgrid[:300, :400]
    image = Image.fromarray(np.stack([x % 256, y % 256, (x * y) % 251], -1).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 8
    saved = []
    for one, options in [(image, {}), (image, dict(progressive=True)), (image, dict(exif=exif)),
                         (image.convert('L'), {}), (image, dict(subsampling=0, quality=95)),
                         (image, dict(restart_marker_rows=2)), (image.convert('CMYK'), {})]:
        file = io.BytesIO()
        one.save(file, 'JPEG', **options)
        saved.append(file.getvalue())
    return saved


def write_image(folder: Path, rng: np.random.Generator) -> None:
    whole = encoded()
    (folder / 'a.jpg').write_bytes(damaged(choose(rng, whole), [*whole, POSTSCRIPT], rng))


def write_jpeg(folder: Path, rng: np.random.Generator) -> None:
    (folder / 'a.jpg').write_bytes(damaged(choose(rng, jpegs()), [*jpegs(), POSTSCRIPT], rng))


def read_image(folder: Path) -> None:
    if read_rgb(str(folder / 'a.jpg'), MAX_PIXELS).mode != 'RGB':
        raise Fault('it is not RGB')


def read_region(folder: Path) -> None:
    views = LoadTwoViews(max_pixels=MAX_PIXELS, size=32, perturbation=None).transform(
        dict(img_path=str(folder / 'a.jpg'), sample_idx=SampleIndex(0)))
    if views['student_view'].shape != (32, 32, 3):
        raise Fault(f'the view is {views["student_view"].shape}')
