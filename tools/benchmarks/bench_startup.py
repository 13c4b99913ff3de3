"""How long tools/train.py takes for a run of one step, and how much of that are its imports.

Every run is a process of its own. Wall clock and CPU seconds are medians; the data workers' CPU
seconds are among them.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/conmim/vit-tiny_1xb8_images-224px.py'
# At its end Python would look through all of it for garbage, for seconds; the tools freeze it, too.
IMPORTS = 'import gc, conmim_mm.registration, mmengine.runner; gc.freeze()'


def measure(arguments: list[str]) -> tuple[float, float]:
    """Wall clock and CPU seconds of Python with these arguments.

    Raises:
        InputError: It failed.
    """
    start, cpu_before = time.perf_counter(), cpu_of_children()
    result = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ['it ended without a word']
        raise InputError(f'the run failed: {lines[-1]}')
    return time.perf_counter() - start, cpu_of_children() - cpu_before


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data_root', metavar='PHOTOS', help='folder of images')
    parser.add_argument('--config', default=CONFIG, help='default: %(default)s')
    parser.add_argument('--repeats', type=int, default=5, help='runs (default: 5)')
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    args = parser.parse_args()
    if args.repeats < 1:
        raise InputError('--repeats must be at least 1')
    with tempfile.TemporaryDirectory() as folder:
        train = ['tools/train.py', args.config, '--work-dir', folder,
                 '--data-root', str(Path(args.data_root).resolve()),
                 '--cfg-options', 'train_cfg.max_iters=1', 'param_scheduler.warmup=0']
        seconds = {
            name: dict(zip(('wall', 'cpu'), map(median, zip(*(
                measure(arguments) for _ in range(args.repeats)), strict=True)), strict=True))
            for name, arguments in {'imports': ['-c', IMPORTS], 'run of one step': train}.items()}
    if args.json:
        print(json.dumps(seconds))
        return
    print(f'{args.config}, median of {args.repeats}: seconds by the clock, seconds of CPU')
    for name, of in seconds.items():
        print(f'{name:<20}{of["wall"]:>8.2f}{of["cpu"]:>8.2f}')


if __name__ == '__main__':
    run_tool(main)
