"""Images per second of one core: the default ConMIM pipeline, other pipelines, plain decoding.

All of them take the same files, in turns, round by round, in one process and one thread; the files
are in memory after the first. Seconds are those of the processor. With --workers also whole data
loaders, with as many processes, by the clock.
"""

import argparse
import json
import time
from collections.abc import Callable
from statistics import median

import cv2
import torch
from data_variants import VARIANTS, build_loader, image_paths
from mmengine.registry import init_default_scope

import conmim_mm.registration  # noqa: F401
from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool

LOADER_SECONDS = 8.  # of each loader's measurement, at least


def images_per_second(sample: Callable[[int], object], count: int) -> float:
    """How many of the first samples a core makes in a second of its time."""
    start = time.process_time()  # what else the machine does counts less
    for index in range(count):
        sample(index)
    return count / (time.process_time() - start)


def measure_pipelines(paths: list[str], size: int, rounds: int) -> dict[str, list[float]]:
    """Images per second of each variant, round by round."""
    samples = {name: build(paths, size) for name, build in VARIANTS.items()}
    for sample in samples.values():
        for index in range(min(8, len(paths))):
            sample(index)
    rates = {name: [] for name in samples}
    for _ in range(rounds):
        for name, sample in samples.items():
            rates[name].append(images_per_second(sample, len(paths)))
    return rates


def measure_loader(paths: list[str], size: int, batch: int, workers: int) -> float:
    """Images per second that a data loader gives, its start left out."""
    loader = build_loader(paths, size, batch, workers)
    batches = endless(loader)
    for _ in range(2 + 2 * workers):  # those that were being made while the processes started
        next(batches)
    start, count = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < LOADER_SECONDS:
        next(batches)
        count += batch
    return count / seconds


def endless(loader):
    while True:
        yield from loader


def table(rates: dict[str, list[float]]) -> list[dict]:
    """The rows: medians, extremes, and ratios of the same round's rates."""
    def ratio(name: str, other: str) -> float:
        return median(a / b for a, b in zip(rates[name], rates[other], strict=True))

    decoding = next(iter(rates))
    return [
        dict(pipeline=name, images_per_second=median(of), least=min(of), most=max(of),
             share_of_decoding=ratio(name, decoding), times_beit=ratio(name, "mmpretrain's BEiT"))
        for name, of in rates.items()
    ]


def print_table(rows: list[dict]) -> None:
    print(f'{"one core":<44}{"images/s":>9}{"from":>7}{"to":>7}{"of decoding":>13}{"x BEiT":>8}')
    for row in rows:
        print(f'{row["pipeline"]:<44}{row["images_per_second"]:>9.0f}{row["least"]:>7.0f}'
              f'{row["most"]:>7.0f}{row["share_of_decoding"]:>12.0%}{row["times_beit"]:>9.2f}')


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data_root', metavar='DATA_ROOT', help='folder of JPEG files')
    parser.add_argument('--images', type=int, default=400, help='how many of them')
    parser.add_argument('--rounds', type=int, default=5, help='how often each takes its turn')
    parser.add_argument('--img-size', type=int, default=224, help='side of the views, in pixels')
    parser.add_argument('--workers', type=int, nargs='+', default=[], metavar='N',
                        help='also measure data loaders with so many processes')
    parser.add_argument('--batch', type=int, default=64, help="images in a loader's batch")
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    args = parser.parse_args()
    if min(args.images, args.rounds, args.batch) < 1 or min(args.workers, default=0) < 0:
        raise InputError('--images, --rounds and --batch must be at least 1, --workers at least 0')
    if args.img_size < 1 or args.img_size % 32:
        raise InputError(f'--img-size must be a multiple of 32, but is {args.img_size}')
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    init_default_scope('mmpretrain')
    paths = image_paths(args.data_root, args.images)
    rows = table(measure_pipelines(paths, args.img_size, args.rounds))
    loaders = {workers: measure_loader(paths, args.img_size, args.batch, workers)
               for workers in args.workers}
    if args.json:
        print(json.dumps(dict(
            images=len(paths), img_size=args.img_size, pipelines=rows, batch=args.batch,
            loaders=[dict(workers=workers, images_per_second=rate)
                     for workers, rate in loaders.items()])))
        return
    print(f'{len(paths)} files of {args.data_root}, views of {args.img_size} pixels, '
          f'{args.rounds} rounds')
    print_table(rows)
    for workers, rate in loaders.items():
        print(f'data loader, batches of {args.batch}, {workers} workers:{rate:>8.0f} images/s')


if __name__ == '__main__':
    run_tool(main)
