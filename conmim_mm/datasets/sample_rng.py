"""Random numbers that belong to a sample, not to a process.

What happens to an image (crop, perturbation, mask) is a function of the seed, the epoch and the
image's index. It then does not depend on the number of workers or processes, differs between epochs
whether workers persist or not, and continues after a resume without replaying anything.
"""

import os
from collections.abc import Iterator
from itertools import islice

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

    def __iter__(self) -> Iterator[SampleIndex]:
        for index in super().__iter__():
            yield SampleIndex(index, self.seed, self.epoch)


@DATA_SAMPLERS.register_module()
class InfiniteSeededSampler(InfiniteSampler):
    """MMEngine's endless sampler for iteration-based loops; every pass is an epoch."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.position = self.rank  # in the endless sequence that all ranks share

    def skip(self, num_samples: int) -> None:
        """Goes to an absolute position of this rank's sequence, as MMEngine does on resume."""
        self.indices = islice(self._indices_of_rank(), num_samples, None)
        self.position = self.rank + num_samples * self.world_size

    def __iter__(self) -> Iterator[SampleIndex]:
        for index in super().__iter__():
            yield SampleIndex(index, self.seed, self.position // self.size)
            self.position += self.world_size


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
