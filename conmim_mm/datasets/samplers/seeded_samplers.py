"""Samplers whose indices know the seed and the epoch they are drawn in."""

from collections.abc import Iterator
from itertools import count, islice

import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmpretrain.registry import DATA_SAMPLERS

from ..sample_rng import SampleIndex


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
