"""Random numbers that belong to a sample, not to a process.

What happens to an image (crop, perturbation, mask) is a function of the seed, the epoch and the
image's index. It then does not depend on the number of workers or processes, differs between epochs
whether workers persist or not, and continues after a resume without replaying anything.
"""

import numpy as np

from ..utils.random_state import process_rng

RNG_KEY = 'rng'


class SampleIndex(int):
    """A data set index that also knows the seed of the run and the epoch it is drawn in."""

    def __new__(cls, index: int, seed: int = 0, epoch: int = 0) -> 'SampleIndex':
        sample = super().__new__(cls, index)
        sample.seed = seed
        sample.epoch = epoch
        return sample


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
            results[RNG_KEY] = process_rng()
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
