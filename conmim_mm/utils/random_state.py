"""The states of this process' random generators: kept, saved, put back."""

import copy
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dist import get_rank
from torch.utils.data import get_worker_info

_process_rngs: dict[tuple, np.random.Generator] = {}


def process_rng() -> np.random.Generator:
    """A generator of its own for each process, data worker and epoch."""
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
def keeping_random_state() -> Iterator[None]:
    """After it, every generator of this process that training may use is as it was before."""
    state, kept = random_state(), copy.deepcopy(_process_rngs)
    try:
        yield
    finally:
        set_random_state(state)
        _process_rngs.clear()
        _process_rngs.update(kept)


def random_state() -> dict:
    """State of Python's, NumPy's and PyTorch's generators, on the GPU of this process too."""
    name, keys, *position = np.random.get_state()
    state = dict(
        python=random.getstate(),
        numpy=(name, keys.tolist(), *position),
        torch=torch.get_rng_state())
    if torch.cuda.is_initialized():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict) -> None:
    """Puts back what :func:`random_state` gave."""
    random.setstate(state['python'])
    name, keys, *position = state['numpy']
    np.random.set_state((name, np.array(keys, np.uint32), *position))
    torch.set_rng_state(state['torch'].cpu())
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())
