"""Images per second of one core: TIFF files by tifffile alone, as levels, and as both views.

For images of any bands and depth, where bench_data.py has photographs. All take the same files, in
turns, round by round; seconds are those of the processor.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import cv2
import numpy as np
import tifffile
import torch

from conmim_mm.datasets import ImageFiles, ImageReading, LoadTwoViews, SampleIndex
from conmim_mm.datasets.reading import read_levels
from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool


def measure(paths: list[str], how: ImageReading, size: int, rounds: int) -> dict[str, list[float]]:
    """Images per second of each way to read them, round by round."""
    views = LoadTwoViews(reading=how.keys(), size=size)
    ways: dict[str, Callable[[int, str], object]] = {
        'tifffile alone': lambda _, path: tifffile.imread(path, maxworkers=1),
        'grey levels': lambda _, path: read_levels(path, how),
        'both views': lambda index, path: views.transform(
            dict(img_path=path, sample_idx=SampleIndex(index)))}
    rates = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, read in ways.items():
            start = time.process_time()
            for index, path in enumerate(paths):
                read(index, path)
            rates[name].append(len(paths) / (time.process_time() - start))
    return {name: of[1:] for name, of in rates.items()}  # the first one fills caches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data_root', metavar='DATA_ROOT', help='folder of TIFF files')
    parser.add_argument('--channels', type=int, default=3, help='of the images (default: 3)')
    parser.add_argument('--value-range', type=float, nargs=2, metavar=('LOW', 'HIGH'),
                        help='what becomes black and white')
    parser.add_argument('--view-dtype', default='uint8', help='uint8 (default) or float32')
    parser.add_argument('--images', type=int, default=100, help='how many (default: 100)')
    parser.add_argument('--rounds', type=int, default=5, help='(default: 5)')
    parser.add_argument('--img-size', type=int, default=224, help='side of the views in pixels')
    args = parser.parse_args()
    if min(args.images, args.rounds, args.img_size) < 1:
        raise InputError('--images, --rounds and --img-size must be at least 1')
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    how = ImageReading(args.channels, args.value_range, view_dtype=args.view_dtype)
    dataset = ImageFiles(data_root=args.data_root, extensions=('.tif', '.tiff'))
    paths = [dataset.get_data_info(i)['img_path'] for i in range(min(args.images, len(dataset)))]
    rates = measure(paths, how, args.img_size, args.rounds)
    alone = rates['tifffile alone']
    for name, of in rates.items():
        share = np.median(np.divide(of, alone))
        print(f'{name:<16}{median(of):>8.0f} images/s{share:>8.0%} of tifffile alone')


if __name__ == '__main__':
    run_tool(main)
