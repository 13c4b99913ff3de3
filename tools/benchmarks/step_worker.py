"""One step in a process of its own, for bench_step.py: its time, round by round, and its memory.

Its one argument is a JSON object with ``variant``, ``batch`` and what ``Settings`` has. It says
``seconds`` of a step after its first ones, then answers each number on its input with those of so
many steps, and the end of its input with the peak of its memory; each as a JSON object on a line.
"""

import json
import resource
import sys
import time
from collections.abc import Callable

import torch
from mmengine.config import Config
from step_variants import CONMIM, VARIANTS, Settings, Variant
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from conmim_mm.distributed.launch import processes

MATMUL = 'matmul'
WARM_UP_STEPS = 2
MATMUL_SIDE = dict(cpu=4096, cuda=8192)


def matmul_step(settings: Settings) -> tuple[Callable[[], None], int]:
    """A product of two square matrices, and its operations."""
    side = MATMUL_SIDE[settings.device]
    a, b = (torch.randn(side, side, device=settings.device,
                        dtype=getattr(torch, settings.dtype)) for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out), 2 * side**3


def training_step(name: str, settings: Settings,
                  batch: int) -> tuple[Callable[[], None], int | None]:
    """A training step on a batch, and its matrix products and convolutions if counted here."""
    variant = VARIANTS[name](settings)
    flops = None if name in CONMIM else counted_flops(variant) * batch
    data = variant.batch(batch)
    return lambda: variant.step(data), flops


def counted_flops(variant: Variant) -> int:
    """Operations per image, counted while a step on two images runs."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        variant.step(variant.batch(2))
    return counter.get_total_flops() // 2


def seconds_per_step(step: Callable[[], None], steps: int) -> float:
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


def main() -> None:
    given = json.loads(sys.argv[1])
    name, batch = given.pop('variant'), given.pop('batch')
    settings = Settings(**given)
    with processes(Config(dict(launcher='pytorch' if settings.distributed else 'none'))):
        before = 0. if settings.device == 'cuda' else peak_memory(settings.device)
        step, flops = (matmul_step(settings) if name == MATMUL else
                       training_step(name, settings, batch))
        seconds_per_step(step, WARM_UP_STEPS)
        send(seconds=seconds_per_step(step, 1), flops=flops)
        for line in sys.stdin:
            send(seconds=seconds_per_step(step, int(line)))
        send(peak_mib=peak_memory(settings.device) - before)


def send(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == '__main__':
    main()
