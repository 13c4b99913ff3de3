"""A training step in a process of its own, for bench_step.py: timed when asked, and its memory."""

import os
import resource
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from step_variants import VARIANTS, Settings

from conmim_mm.distributed.launch import processes
from conmim_mm.errors import one_line

WARM_UP_STEPS = 2


def serve(pipe: Connection, name: str, settings: Settings, batch: int, ranks: dict[str, str],
          threads: int) -> None:
    """Answers a number with the seconds of a step, the mean of so many; None with the peak in MiB.

    A failure answers with a text.

    Args:
        pipe: To who asks.
        name: Key of ``VARIANTS``.
        settings: Of the variant.
        batch: Images.
        ranks: Variables that say which of several processes this is.
        threads: How many it may use.
    """
    os.environ.update(ranks)
    MMLogger.get_instance('step', log_level='ERROR')
    torch.set_num_threads(threads)
    try:
        with processes(Config(dict(launcher='pytorch' if settings.distributed else 'none'))):
            before = peak_memory(settings.device)
            variant = VARIANTS[name](settings)
            data = variant.batch(batch)
            seconds_per_step(lambda: variant.step(data), WARM_UP_STEPS)
            while steps := pipe.recv():
                pipe.send(seconds_per_step(lambda: variant.step(data), steps))
            pipe.send(peak_memory(settings.device) - before)
    except Exception as error:  # whatever it is, it stands in the variant's row
        pipe.send(one_line(f'{type(error).__name__}: {error}'))


def seconds_per_step(step: Callable[[], object], steps: int) -> float:
    """What a step takes, the mean of so many."""
    synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    synchronize()
    return (time.perf_counter() - start) / steps


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory(device: str) -> float:
    """In MiB: of PyTorch's allocator on a GPU, else of the process."""
    if device == 'cuda':
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
