"""Images per second from tar shards and from the folder they were made of.

    python tools/dataset_converters/make_shards.py PHOTOS SHARDS --images-per-shard 100
    python tools/benchmarks/bench_shards.py PHOTOS SHARDS --workers 2

Whole epochs of each data set and sampler take turns, round by round; medians by the clock. Files
are read and nothing more: bench_data.py measures what follows. With --cold the kernel is asked to
forget all files before each epoch, which a disk behind a network or a virtual one may not heed.
"""

import argparse
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median

import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

import conmim_mm.registration  # noqa: F401
from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool


class ReadFile:
    """Reads a sample's file, unless the data set has, and gives its size."""

    def __call__(self, results: dict) -> int:
        content = results.get('img_bytes')
        return len(Path(results['img_path']).read_bytes() if content is None else content)


def build_loaders(args: argparse.Namespace) -> dict[str, DataLoader]:
    """The loaders to compare, by name."""
    pipeline = [ReadFile()]
    folder = dict(type='ImageFiles', data_root=args.folder, pipeline=pipeline)
    shards = dict(type='TarShards', data_root=args.shards, shards='*.tar', pipeline=pipeline)
    anywhere = dict(type='EpochSeededSampler')
    in_turn = dict(type='ShardSequentialSampler', batch_size=args.batch,
                   streams=max(args.workers, 1), window=args.window)
    variants = {'folder, random order': (folder, anywhere),
                'shards, random order': (shards, anywhere),
                'shards, one after another': (shards, in_turn)}
    return {
        name: Runner.build_dataloader(dict(
            dataset=dataset, sampler=sampler, batch_size=args.batch, num_workers=args.workers,
            persistent_workers=args.workers > 0, collate_fn=dict(type='default_collate')), seed=0)
        for name, (dataset, sampler) in variants.items()
    }


def images_per_second(loader: DataLoader, epoch: int) -> float:
    """The rate of an epoch."""
    loader.sampler.set_epoch(epoch)
    start = time.perf_counter()
    for _ in loader:
        pass
    return len(loader.sampler) / (time.perf_counter() - start)


def drop_page_cache(paths: Iterable[str]) -> None:
    """Asks the kernel to drop files from its cache."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)  # what is not written yet cannot be dropped
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def files_read_by(dataset: Dataset) -> set[str]:
    """The files that a data set reads."""
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return {info.get('shard_path', info['img_path']) for info in infos}


def measure(args: argparse.Namespace) -> dict[str, float]:
    """The median rate of each loader."""
    loaders = build_loaders(args)
    files = {name: files_read_by(loader.dataset) for name, loader in loaders.items()}
    rates = {name: [] for name in loaders}
    for epoch in range(args.rounds + 1):
        for name, loader in loaders.items():
            if args.cold:
                drop_page_cache(files[name])
            rates[name].append(images_per_second(loader, epoch))
    # the first round starts the workers
    return {name: median(of[1:]) for name, of in rates.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', metavar='PHOTOS', help='folder of images')
    parser.add_argument('shards', metavar='SHARDS', help='folder of *.tar made of them')
    parser.add_argument('--workers', type=int, default=0, help='data workers (default: 0)')
    parser.add_argument('--batch', type=int, default=64, help='images in a batch (default: 64)')
    parser.add_argument('--window', type=int, default=4, help="the sampler's (default: 4)")
    parser.add_argument('--rounds', type=int, default=5, help='epochs of each (default: 5)')
    parser.add_argument('--cold', action='store_true', help='with files that are not in memory')
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    args = parser.parse_args()
    if min(args.batch, args.rounds) < 1 or args.workers < 0:
        raise InputError('--batch and --rounds must be at least 1, --workers at least 0')
    torch.set_num_threads(1)
    init_default_scope('mmpretrain')
    rates = measure(args)
    if args.json:
        print(json.dumps(dict(workers=args.workers, batch=args.batch, cold=args.cold,
                              images_per_second=rates)))
        return
    print(f'images/s, {args.workers} workers, files {"not " if args.cold else ""}in memory')
    for name, rate in rates.items():
        print(f'{name:<28}{rate:>8.0f}')


if __name__ == '__main__':
    run_tool(main)
