"""Images per second, memory and share of the matrix-multiplication rate of a training step.

Ours, as the config gives it, beside the same mathematics in plain PyTorch and beside mmpretrain's
BEiT (with its tokenizer, random weights) and MAE. Each is a process of its own; on a CPU they take
turns, round by round, so that what else the machine does meets them alike.
"""

import argparse
import json
import math
import multiprocessing
from statistics import median

import torch
from step_variants import CONMIM, VARIANTS, Settings, recipe, step_flops
from step_worker import WARM_UP_STEPS, seconds_per_step, serve
from torch.distributed.elastic.utils.distributed import get_free_port

from conmim_mm.engine.optimizers.amp_optim_wrapper import has_cpu_bfloat16
from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool
from conmim_mm.utils.shipped_files import RECIPES

ROUND_SECONDS = 1.  # at least
MATMUL_SIDE, MATMUL_STEPS = dict(cpu=4096, cuda=8192), dict(cpu=1, cuda=100)
SPAWN = multiprocessing.get_context('spawn')


class Worker:
    """The processes of one variant.

    Args:
        variant: Key of ``VARIANTS``.
        settings: Of the variant.
        batch: Images per process.
        processes: How many share the cores, or have a GPU each.

    Attributes:
        seconds: Of a step, round by round; of the slowest process.
        peak_mib: Of memory, of the process that needed most.
        failure: Why there are no numbers.
    """

    def __init__(self, variant: str, settings: Settings, batch: int, processes: int) -> None:
        self.seconds: list[float] = []
        self.peak_mib = self.failure = None
        self._pipes, self._processes = [], []
        threads, port = max(1, torch.get_num_threads() // processes), get_free_port()
        for rank in range(processes):
            ranks = dict(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(processes),
                         MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
            pipe, its_end = SPAWN.Pipe()
            process = SPAWN.Process(target=serve, daemon=True, args=(
                its_end, variant, settings, batch, ranks, threads))
            process.start()
            its_end.close()  # or its death would not be seen here
            self._pipes.append(pipe)
            self._processes.append(process)
        self._first = self._ask(1)

    def round(self) -> None:
        """Runs steps for about a second, at least one."""
        if self.failure is None:
            seconds = self._ask(math.ceil(ROUND_SECONDS / self._first))
            self.seconds += [seconds] if seconds else []

    def end(self) -> None:
        """Ends the processes."""
        self.peak_mib = self._ask(None)
        for process in self._processes:
            process.kill() if self.failure else process.join()

    def _ask(self, question: int | None) -> float | None:
        """The largest number of what all processes answer."""
        if self.failure:
            return None
        try:
            for pipe in self._pipes:
                pipe.send(question)
            answers = [pipe.recv() for pipe in self._pipes]
        except (EOFError, OSError):  # so does one that the system ends for its memory
            answers = ['ended without a word']
        self.failure = next((answer for answer in answers if isinstance(answer, str)), None)
        return None if self.failure else max(answers)


def matmul_rate(settings: Settings) -> float:
    """Operations per second of one large matrix product on all cores or one GPU."""
    side = MATMUL_SIDE[settings.device]
    a, b, out = torch.rand(3, side, side, device=settings.device).to(
        getattr(torch, settings.dtype))
    seconds_per_step(lambda: torch.mm(a, b, out=out), WARM_UP_STEPS)
    return 2 * side**3 / seconds_per_step(
        lambda: torch.mm(a, b, out=out), MATMUL_STEPS[settings.device])


def measure(settings: Settings, batch: int, rounds: int, variants: list[str],
            processes: int = 1) -> dict:
    """Runs the variants and puts the numbers together.

    Args:
        settings: Of all variants.
        batch: Images per process.
        rounds: How often each is timed.
        variants: Keys of ``VARIANTS``.
        processes: Processes of each variant.

    Returns:
        ``matmul_tflops``, and under ``variants`` for each name ``images_per_second`` (the median),
        ``slowest`` and ``fastest`` round, ``peak_mib`` and, of ConMIM's, ``matmul_share``; or
        ``failure``.
    """
    workers: dict[str, Worker] = {}
    rates = []
    # On a GPU one after the other: together they may not fit its memory.
    for group in [variants] if settings.device == 'cpu' else [[name] for name in variants]:
        for name in group:
            workers[name] = Worker(name, settings, batch, processes)
        for _ in range(rounds):
            rates.append(matmul_rate(settings))
            for name in group:
                workers[name].round()
        for name in group:
            workers[name].end()
    rate, flops = median(rates), batch * sum(step_flops(recipe(settings)).values())
    sharing = processes if settings.device == 'cpu' else 1  # of what had the rate
    results = {}
    for name, worker in workers.items():
        if worker.failure:
            results[name] = dict(failure=worker.failure)
            continue
        seconds = median(worker.seconds)
        results[name] = dict(
            images_per_second=processes * batch / seconds,
            slowest=processes * batch / max(worker.seconds),
            fastest=processes * batch / min(worker.seconds), peak_mib=worker.peak_mib)
        if name in CONMIM:
            results[name]['matmul_share'] = sharing * flops / seconds / rate
    return dict(matmul_tflops=rate / 1e12, variants=results)


def choose_dtype(wanted: str, device: str) -> str:
    """The type to compute in.

    Raises:
        InputError: One that this machine does not compute in.
    """
    if device == 'cuda':
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_bfloat16 = has_cpu_bfloat16()
    if wanted == 'auto':
        return 'bfloat16' if has_bfloat16 else 'float32'
    if wanted == 'bfloat16' and not has_bfloat16:
        raise InputError('this machine has no bfloat16 and would emulate it; choose '
                         '--dtype float32')
    return wanted


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', choices=RECIPES['paper'], default='s', help='size of the ViT')
    parser.add_argument('--batch', type=int, default=16, help='images per process')
    parser.add_argument('--device', choices=['cpu', 'cuda'],
                        default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--dtype', choices=['auto', 'float32', 'bfloat16', 'float16'],
                        default='auto', help='auto: bfloat16 where the device computes in it')
    parser.add_argument('--img-size', type=int, default=224, help='side of the images, in pixels')
    parser.add_argument('--rounds', type=int, default=5, help='how often each is timed')
    parser.add_argument('--processes', type=int, default=1,
                        help='processes that share the cores, or have a GPU each')
    parser.add_argument('--variants', nargs='+', choices=VARIANTS, default=[*VARIANTS],
                        metavar='NAME', help=f'some of {", ".join(map(repr, VARIANTS))}')
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    args = parser.parse_args()
    for name in ('batch', 'img_size', 'rounds', 'processes'):
        if getattr(args, name) < 1:
            raise InputError(f'--{name.replace("_", "-")} must be at least 1')
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise InputError('there is no GPU that PyTorch can use; choose --device cpu')
    return args


def table(result: dict) -> str:
    """The numbers as lines of text."""
    lines = ['{arch}, {processes} x {batch} x {img_size} x {img_size}, {dtype}, {device}, PyTorch '
             '{torch}: {matmul_tflops:.3g} TFLOP/s in matrix products'.format(**result),
             f'{"":<18}{"images/s":>10}{"slowest":>9}{"fastest":>9}{"peak MiB":>10}{"share":>7}']
    for name, row in result['variants'].items():
        lines.append(f'{name:<18}' + (
            f'  failed: {row["failure"]}' if 'failure' in row else
            '{images_per_second:>10.3g}{slowest:>9.3g}{fastest:>9.3g}{peak_mib:>10,.0f}'.format(
                **row)))
        if 'matmul_share' in row:
            lines[-1] += f'{row["matmul_share"]:>7.0%}'
    return '\n'.join(lines)


def main() -> None:
    args = parse()
    device = args.device
    patch = recipe(Settings(args.arch, 0, '', '')).model.backbone.patch_size
    if args.img_size % (2 * patch):
        raise InputError(f'--img-size must be divisible by {2 * patch}, but is {args.img_size}')
    settings = Settings(args.arch, args.img_size, choose_dtype(args.dtype, device), device,
                        distributed=args.processes > 1)
    name = torch.cuda.get_device_name() if device == 'cuda' else (
        f'{torch.get_num_threads()} CPU threads')
    result = dict(
        arch=args.arch, batch=args.batch, img_size=args.img_size, processes=args.processes,
        dtype=settings.dtype, device=name, torch=torch.__version__, rounds=args.rounds,
        **measure(settings, args.batch, args.rounds, args.variants, args.processes))
    print(json.dumps(result) if args.json else table(result))


if __name__ == '__main__':
    run_tool(main)
