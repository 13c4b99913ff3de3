"""Writes images as other instruments have them, with maps of labels, in mmsegmentation's layout.

    python tools/dataset_converters/make_samples.py tiles data/tiles
    python tools/dataset_converters/make_samples.py x-rays data/x-rays

Tiles are 13-band TIFF files, 16 bits and tiled as GDAL writes them: water, field, forest and town,
each with a spectrum of its own. X-rays are 12-bit DICOM files, half of them MONOCHROME1:
background, tissue, lung and bone. The same seed writes the same files.
"""

import argparse
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool

BANDS, CLASSES, FIELDS = 13, 4, 6
WHITE = 4095
LEVELS = (150, 1400, 500, 3000)  # of an X-ray's classes

Sample = tuple[np.ndarray, np.ndarray]  # pixels and labels


def tile(rng: np.random.Generator, side: int) -> Sample:
    """Fields around some places: ``(S, S, 13)`` uint16 reflectances times 10,000, and classes."""
    places, classes = rng.uniform(0, side, (FIELDS, 2)), rng.integers(0, CLASSES, FIELDS)
    pixels = np.moveaxis(np.indices((side, side)), 0, -1)
    nearest = np.linalg.norm(pixels[:, :, None] - places, axis=-1).argmin(axis=-1)
    labels = classes[nearest].astype(np.uint8)
    # all tiles have the same spectra, and each its own light
    spectra = np.random.default_rng(0).uniform(300, 4500, (CLASSES, BANDS))
    light = rng.uniform(0.8, 1.2) + 0.1 * texture(rng, side)[..., None]
    noise = rng.normal(0, 150, (side, side, BANDS))
    return (spectra[labels] * light + noise).clip(0, 2**16 - 1).astype(np.uint16), labels


def x_ray(rng: np.random.Generator, side: int) -> Sample:
    """A chest: ``(S, S)`` uint16 of 12 bits, and classes."""
    rows, columns = np.indices((side, side)) / side - 0.5
    rows, columns = rows - rng.uniform(-0.05, 0.05), columns - rng.uniform(-0.05, 0.05)
    labels = ((rows / 0.48)**2 + (columns / 0.42)**2 < 1).astype(np.uint8)
    for middle in (-0.19, 0.19):
        width, height = rng.uniform(0.1, 0.14), rng.uniform(0.22, 0.3)
        labels[((columns - middle) / width)**2 + (rows / height)**2 < 1] = 2
    ribs = np.sin(rng.uniform(30, 36) * (rows + 2 * columns**2) + rng.uniform(0, 6)) > 0.75
    labels[(np.abs(columns) < 0.04) & (labels > 0) | ribs & (labels == 2)] = 3
    values = np.take(LEVELS, labels) * (1 + 0.15 * texture(rng, side))
    return gaussian_filter(values + rng.normal(0, 60, (side, side)), 0.5).clip(
        0, WHITE).astype(np.uint16), labels


def texture(rng: np.random.Generator, side: int) -> np.ndarray:
    """Smooth noise ``(S, S)`` of deviation 1."""
    smooth = gaussian_filter(rng.normal(size=(side, side)), side / 16)
    return smooth / smooth.std()


def write_tile(path: Path, pixels: np.ndarray, number: int) -> None:
    """A tiled TIFF file, its bands interleaved."""
    tifffile.imwrite(path, pixels, tile=(16, 16), photometric='minisblack',
                     planarconfig='contig', compression='zlib')


def write_x_ray(path: Path, pixels: np.ndarray, number: int) -> None:
    """A DICOM file without a patient; every other one has white as its lowest value."""
    import pydicom

    file, is_negative = pydicom.Dataset(), number % 2
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.SOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    file.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[path.name])
    file.PhotometricInterpretation = f'MONOCHROME{1 if is_negative else 2}'
    file.SamplesPerPixel, file.PixelRepresentation = 1, 0
    file.Rows, file.Columns = pixels.shape
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 12, 11
    file.PixelData = (WHITE - pixels if is_negative else pixels).astype('<u2').tobytes()
    file.save_as(path, enforce_file_format=True)


KINDS = {'tiles': (tile, write_tile, '.tif'), 'x-rays': (x_ray, write_x_ray, '.dcm')}


def make_samples(kind: str, out: Path, counts: dict[str, int], side: int, seed: int) -> None:
    """Writes ``images/{train,val}`` and ``annotations/{train,val}``.

    Args:
        kind: Of ``KINDS``.
        out: A folder that is not there yet.
        counts: How many images of each part.
        side: Of an image, in pixels; of tiles a multiple of 16.
        seed: Of all of them.

    Raises:
        InputError: The folder is there, or a library is missing.
    """
    make, write, ending = KINDS[kind]
    if out.exists():
        raise InputError(f'{out} is there already: give another folder, or remove it')
    if kind == 'x-rays':
        check_pydicom()
    rng = np.random.default_rng(seed)
    for part, count in counts.items():
        images, maps = out / 'images' / part, out / 'annotations' / part
        for folder in (images, maps):
            folder.mkdir(parents=True)
        for number in range(count):
            pixels, labels = make(rng, side)
            write(images / f'{number:04d}{ending}', pixels, number)
            Image.fromarray(labels).save(maps / f'{number:04d}.png')


def check_pydicom() -> None:
    """Raises InputError where it is missing."""
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise InputError('x-rays need pydicom: pip install pydicom') from None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('kind', choices=KINDS, help='what to write')
    parser.add_argument('out', metavar='OUT', type=Path, help='folder to write to')
    parser.add_argument('--images', type=int, default=24, metavar='N',
                        help='to train on (default: 24); a third as many are held out')
    parser.add_argument('--size', type=int, default=64, metavar='S',
                        help='side of an image in pixels (default: 64)')
    parser.add_argument('--seed', type=int, default=0, metavar='K', help='seed (default: 0)')
    args = parser.parse_args()
    counts = dict(train=args.images, val=max(args.images // 3, 2))
    make_samples(args.kind, args.out, counts, args.size, args.seed)
    print(f'{args.out}: {counts["train"]} {args.kind} to train on, {counts["val"]} held out')


if __name__ == '__main__':
    run_tool(main)
