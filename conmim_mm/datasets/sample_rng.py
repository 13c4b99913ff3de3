"""Random numbers that belong to a sample, not to a process.

What happens to an image (crop, perturbation, mask) is a function of the seed, the epoch and the
image's index. It then does not depend on the number of workers or processes, differs between epochs
whether workers persist or not, and continues after a resume without replaying anything.
"""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import get_rank
from mmpretrain.registry import DATA_SAMPLERS
from torch.utils.data import get_worker_info

RNG_KEY = 'rng'


class SampleIndex(int):
    """A data set index that also knows the seed of the run and the epoch it is drawn in."""

    def __new__(cls, index: int, seed: int = 0, epoch: int = 0) -> 'SampleIndex':
        sample = super().__new__(cls, index)
        sample.seed = seed
        sample.epoch = epoch
        return sample


@DATA_SAMPLERS.register_module()
class EpochSeededSampler(DefaultSampler):
    """MMEngine's epoch-wise sampler whose indices carry seed and epoch (see the module)."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.skipped = 0

    def skip(self, num_samples: int) -> None:
        """Leaves out the first indices of this process, the next time it is iterated over."""
        self.skipped = num_samples

    def __iter__(self) -> Iterator[SampleIndex]:
        start, self.skipped = self.skipped, 0
        for index in islice(self.order(), start, None):
            yield SampleIndex(index, self.seed, self.epoch)

    def order(self) -> Iterator[int]:
        """The indices of this process in this epoch, all of them."""
        return super().__iter__()


@DATA_SAMPLERS.register_module()
class InfiniteSeededSampler(InfiniteSampler):
    """MMEngine's endless sampler for iteration-based loops; every pass is an epoch."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.position = self.rank  # in the endless sequence that all ranks share

    def skip(self, num_samples: int) -> None:
        """Starts at an absolute position of this process' sequence, the next time it is used.

        Takes a permutation of the data set for every pass gone by, and no step per sample.
        """
        self.position = self.rank + num_samples * self.world_size

    def __iter__(self) -> Iterator[SampleIndex]:
        generator = torch.Generator()
        generator.manual_seed(self.seed)
        first_pass = self.position // self.size
        for pass_number in count():
            # the generator goes on from pass to pass, so those gone by are drawn too
            order = (torch.randperm(self.size, generator=generator)
                     if self.shuffle else torch.arange(self.size))
            if pass_number < first_pass:
                continue
            start = self.position - pass_number * self.size
            for index in order[start::self.world_size].tolist():
                sample = SampleIndex(index, self.seed, pass_number)
                self.position += self.world_size
                yield sample


def sample_rng(results: dict) -> np.random.Generator:
    """The random generator of a sample, shared by all transforms of its pipeline.

    With a sampler of this module it is seeded by (seed, epoch, index). With any other sampler it is
    one generator per worker process, seeded differently for every process, worker and epoch.

    Args:
        results: The sample's dict. The generator is kept in it under ``'rng'``.
    """
    if RNG_KEY not in results:
        index = results.get('sample_idx')
        if isinstance(index, SampleIndex):
            results[RNG_KEY] = np.random.default_rng([index.seed, index.epoch, index])
        else:
            results[RNG_KEY] = _process_rng()
    return results[RNG_KEY]


def replacement_rng(index: SampleIndex, attempt: int) -> np.random.Generator:
    """The generator of what takes the place of a sample that could not be read.

    It draws which image that is, and then serves the transforms as :func:`sample_rng` does: the
    image may also come in its own turn, and shall not look the same twice.

    Args:
        index: Of the unreadable sample.
        attempt: From 1. (NumPy fills short seeds with zeros, so 0 would be the sample's own.)
    """
    return np.random.default_rng([index.seed, index.epoch, index, attempt])


_process_rngs: dict[tuple, np.random.Generator] = {}


def _process_rng() -> np.random.Generator:
    # MMEngine reseeds the global generators of a worker the same in every epoch; the seed PyTorch
    # itself gave the worker is a new one each epoch, but the same on all ranks.
    worker = get_worker_info()
    seed = worker.seed if worker else torch.initial_seed()
    rank = int(os.environ.get('RANK', get_rank()))
    key = (os.getpid(), seed, rank)
    if key not in _process_rngs:
        _process_rngs.clear()
        _process_rngs[key] = np.random.default_rng([seed % 2**64, rank])
    return _process_rngs[key]


@contextmanager
def keeping_process_rng() -> Iterator[None]:
    """After it, the generator of this process is as if no sample had been made inside."""
    kept = copy.deepcopy(_process_rngs)
    try:
        yield
    finally:
        _process_rngs.clear()
        _process_rngs.update(kept)
