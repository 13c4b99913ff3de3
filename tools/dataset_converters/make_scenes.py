#!/usr/bin/env python
"""Write the generated scenes in the ImageNet, ADE20K and COCO layouts.

    python tools/dataset_converters/make_scenes.py data/scenes --images 6000 --size 64 --seed 0

Running it again with the same settings does nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from scenes import SceneSettings, make_scenes

from conmim_mm.errors import InputError


class _Parser(argparse.ArgumentParser):
    """Reports a bad argument in one line, without the usage."""

    def error(self, message: str):
        self.exit(2, f'{self.prog}: error: {message}\n')


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog='make_scenes.py', description=__doc__.split('\n')[0])
    parser.add_argument('out', metavar='OUT', help='folder to write to')
    parser.add_argument(
        '--images',
        type=int,
        required=True,
        metavar='N',
        help='classification images for training (at least 10); a quarter as many scenes',
    )
    parser.add_argument(
        '--size',
        type=int,
        required=True,
        metavar='S',
        help='side of every picture in pixels (at least 32)',
    )
    parser.add_argument('--seed', type=int, default=0, metavar='K', help='seed (default: 0)')
    parser.add_argument(
        '--val',
        type=int,
        metavar='M',
        help='held-out classification images (default: a fifth of N, at least 10)',
    )
    parser.add_argument(
        '--workers',
        type=int,
        default=os.cpu_count() or 1,
        metavar='W',
        help='processes (default: one per core); the result does not depend on it',
    )
    return parser.parse_args(argv)


class _Percent:
    """A percentage on stderr, rewritten in place on a terminal, else every tenth."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.step = 1 if self.live else 10
        self.shown = 0

    def __call__(self, done: int, total: int) -> None:
        percent = 100 * done // total
        if percent < self.shown + self.step and done < total:
            return
        self.shown = percent
        end = '\r' if self.live and done < total else '\n'
        print(f'{percent:3d} % ({done} of {total} pictures)', end=end, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    start = time.perf_counter()
    try:
        settings = SceneSettings(args.images, args.size, args.seed, args.val)
        written = make_scenes(args.out, settings, args.workers, _Percent())
    except InputError as error:
        print(f'make_scenes.py: error: {error}', file=sys.stderr)
        return 2
    if written:
        print(f'{args.out}: written in {time.perf_counter() - start:.1f} s')
    else:
        print(f'{args.out}: already there, nothing to do')
    return 0


if __name__ == '__main__':
    sys.exit(main())
