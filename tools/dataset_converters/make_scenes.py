"""Writes the generated scenes in the ImageNet, ADE20K and COCO layouts.

    python tools/dataset_converters/make_scenes.py data/scenes --images 6000 --size 64 --seed 0

Running it again with the same settings does nothing.
"""

import argparse
import os

from scenes import SceneSettings, make_scenes
from tqdm import tqdm

from conmim_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', metavar='OUT', help='folder to write to')
    parser.add_argument('--images', type=int, required=True, metavar='N', help='classification '
                        'images for training (at least 10); a quarter as many scenes')
    parser.add_argument('--size', type=int, required=True, metavar='S',
                        help='side of every picture in pixels (at least 32)')
    parser.add_argument('--seed', type=int, default=0, metavar='K', help='seed (default: 0)')
    parser.add_argument('--val', type=int, metavar='M', help='held-out classification images '
                        '(default: a fifth of N, at least 10)')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1, metavar='W',
                        help='processes (default: one per core); the result does not depend on it')
    args = parser.parse_args()
    settings = SceneSettings(args.images, args.size, args.seed, args.val)
    with tqdm(total=settings.num_pictures, unit=' pictures', disable=None) as bar:
        written = make_scenes(args.out, settings, args.workers, bar.update)
    print(f'{args.out}: {"written" if written else "already there, nothing to do"}')


if __name__ == '__main__':
    run_tool(main)
