"""Writes a folder of images to tar shards, which TarShards and WebDataset read.

    python tools/dataset_converters/make_shards.py data/imagenet/train data/imagenet-shards/train

The image files are copied as they are, in random order. Folders of classes (CLASS/*), or the
numbers in a list file, become .cls files beside the images.
"""

import argparse
import os
from pathlib import Path

from tqdm import tqdm

from conmim_mm.datasets.shards.writer import images_to_shard, write_shards
from conmim_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', metavar='ROOT', help='folder of images, searched in all depths')
    parser.add_argument('out', metavar='OUT', type=Path, help='folder to make')
    parser.add_argument('--list', default='', metavar='FILE',
                        help='only these images: a path a line, relative to ROOT, and a label')
    parser.add_argument('--images-per-shard', type=int, default=1000, metavar='N',
                        help='at most (default: 1000, of ImageNet 110 MB)')
    parser.add_argument('--seed', type=int, default=0, help='of the order (default: 0)')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1, metavar='W',
                        help='processes (default: one per core); the result does not depend on it')
    args = parser.parse_args()
    images, classes = images_to_shard(args.root, args.list)
    with tqdm(total=len(images), unit=' images', disable=None) as bar:
        shards = write_shards(images, args.out, args.images_per_shard, args.seed, args.workers,
                              classes, bar.update)
    print(f'{args.out}: {len(images)} images'
          f'{f" of {len(classes)} classes" if classes else ""}, '
          f'{shards[0].name} to {shards[-1].name}')


if __name__ == '__main__':
    run_tool(main)
