"""An order of the samples in which tar shards are read one after another."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
from mmpretrain.registry import DATA_SAMPLERS
from torch.utils.data import DataLoader

from ...errors import InputError
from ..shards.tar_shards import TarShards
from .seeded_samplers import EpochSeededSampler


@DATA_SAMPLERS.register_module()
class ShardSequentialSampler(EpochSeededSampler):
    """Shuffles the shards, and samples among a few neighbouring shards, so that reads stay local.

    The order of an epoch, a function of the seed, the epoch and the arguments:

    1. The shards are put in random order; their samples follow one another in it.
    2. Each of W processes takes an equal part of that sequence, ``ceil(N / W)`` of N samples. Where
       W does not divide N, the last part ends with the sequence's first samples once more, fewer
       than W. A shard on the border of two parts is read by both.
    3. Each process cuts its part into ``streams`` pieces of equally many batches (one more in the
       first ones if need be).
    4. In a piece, the samples of the first ``window`` shards are shuffled, then those of the
       following ``window``, and so on.
    5. The pieces take turns, a batch each.

    So batch b comes from stream ``b % streams``, and PyTorch gives it to worker
    ``b % num_workers``: with as many streams as workers each of them reads ``window`` shards at a
    time, and never comes back to them. Other numbers of workers change nothing but that.

    A batch holds images of ``window`` shards only, so a shard should hold many kinds of images, as
    those of ``tools/dataset_converters/make_shards.py`` do.

    Args:
        dataset: The shards.
        batch_size: The data loader's.
        streams: How many places are read in turns; the data loader's ``num_workers``.
        window: How many shards are shuffled together.
        shuffle: False leaves out steps 1 and 4.
        seed: Of the random order; by default one that all processes draw together.

    Raises:
        InputError: ``batch_size``, ``streams`` or ``window`` below 1, another kind of data set.
    """

    def __init__(self,
                 dataset: TarShards,
                 batch_size: int,
                 streams: int = 1,
                 window: int = 4,
                 shuffle: bool = True,
                 seed: int | None = None) -> None:
        for name, value in dict(batch_size=batch_size, streams=streams, window=window).items():
            if value < 1:
                raise InputError(f'{name} of ShardSequentialSampler must be at least 1, but is '
                                 f'{value}')
        if not hasattr(dataset, 'shard_numbers'):
            raise InputError('ShardSequentialSampler reads TarShards; for a data set of another '
                             f'kind ({type(dataset).__name__}) take EpochSeededSampler')
        super().__init__(dataset, shuffle=shuffle, seed=seed)
        self.batch_size = batch_size
        self.streams = streams
        self.window = window
        self.shard_numbers = dataset.shard_numbers()
        counts = np.bincount(self.shard_numbers)
        self.shards = np.split(np.argsort(self.shard_numbers, kind='stable'),
                               np.cumsum(counts)[:-1])

    def order(self) -> Iterator[int]:
        """The indices of this process in this epoch, all of them."""
        part = self._part()
        num_batches = -(-len(part) // self.batch_size)
        # batches of each stream; the last of all may be shorter
        counts = [len(range(stream, num_batches, self.streams)) for stream in range(self.streams)]
        sizes = np.array(counts) * self.batch_size
        sizes[(num_batches - 1) % self.streams] -= num_batches * self.batch_size - len(part)
        rng = self._rng(1, self.rank)
        pieces = [self._shuffle_windows(piece, rng)
                  for piece in np.split(part, np.cumsum(sizes)[:-1])]
        return chain.from_iterable(
            pieces[batch % self.streams][start:start + self.batch_size].tolist()
            for batch in range(num_batches)
            for start in [batch // self.streams * self.batch_size])

    def _part(self) -> np.ndarray:
        """This process' share of the sequence of all samples."""
        shards = range(len(self.shards))
        if self.shuffle:
            shards = self._rng(0).permutation(len(self.shards))
        sequence = np.concatenate([self.shards[number] for number in shards])
        start = self.rank * self.num_samples
        return sequence.take(np.arange(start, start + self.num_samples), mode='wrap')

    def _shuffle_windows(self, piece: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if not self.shuffle:
            return piece
        borders = np.flatnonzero(np.diff(self.shard_numbers[piece])) + 1
        windows = np.split(piece, borders[self.window - 1::self.window])
        return np.concatenate([rng.permutation(window) for window in windows])

    def _rng(self, *purpose: int) -> np.random.Generator:
        # not a part of the entropy, where zeros count for nothing
        return np.random.default_rng(
            np.random.SeedSequence([self.seed, self.epoch], spawn_key=purpose))


def why_reads_scatter(loader: DataLoader) -> str:
    """Why the workers of a loader do not read shards of their own; empty where they do.

    Args:
        loader: With any sampler.
    """
    sampler, workers = loader.sampler, max(loader.num_workers, 1)
    if not isinstance(sampler, ShardSequentialSampler):
        return ''
    if sampler.batch_size != loader.batch_size:
        return (f'the batch_size of ShardSequentialSampler is {sampler.batch_size}, that of the '
                f'data loader {loader.batch_size}: the workers will read from more shards than '
                'they need to')
    if sampler.streams % workers:
        return (f'ShardSequentialSampler has {sampler.streams} streams for {workers} data '
                'workers: they will read each other\'s shards')
    return ''
