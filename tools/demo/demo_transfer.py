"""Trains three tasks from ConMIM weights and from random weights, and compares them.

Classification, UperNet and Mask R-CNN on the demo's scenes, every pair with the same budget and
seed. Ends with one table and a picture of predictions per task. Repeated, it shows what is there;
interrupted, it goes on with the training that was not finished.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tqdm import tqdm

sys.path.append(str(Path(__file__).parents[1] / 'dataset_converters'))  # for the scenes

from output_folder import prepare_output, save_results
from transfer_tasks import INITS, TASKS, Training, format_table

from conmim_mm.errors import InputError
from conmim_mm.utils.cli import add_trust_argument, run_tool
from conmim_mm.utils.files import sha256_of
from conmim_mm.utils.work_dir import last_checkpoint

ROOT = Path(__file__).parents[2]
POLL_SECONDS = 0.5


def find_checkpoint(demo: Path) -> Path:
    """The checkpoint of a finished demo.

    Raises:
        InputError: There is none.
    """
    checkpoint = last_checkpoint(demo / 'pretrain')
    if checkpoint is None or not (demo / 'results.json').is_file():
        raise InputError(f'no finished demo in {demo}; run `make demo` first')
    return checkpoint


def find_scenes(demo: Path) -> Path:
    """The folder of the scenes that the demo generated.

    Raises:
        InputError: There is none.
    """
    folders = sorted(path.parent for path in demo.glob('scenes-v*/meta.json'))
    if not folders:
        raise InputError(f'no generated scenes in {demo}; run `make demo` without DATA first')
    return folders[-1]


def start(training: Training, seed: int, threads: int) -> subprocess.Popen:
    """Starts tools/train.py; what it prints goes to a file in its folder."""
    training.work_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / 'tools' / 'train.py'), *training.arguments(seed)]
    with training.log.open('w', encoding='utf-8') as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT,
                                env=os.environ | dict(OMP_NUM_THREADS=str(threads)))


def train_pair(trainings: list[Training], seed: int, label: str) -> None:
    """Trains side by side, so that both share the machine alike.

    Raises:
        InputError: One of them failed; the message names its log.
    """
    waiting = [training for training in trainings if not training.finished.is_file()]
    if not waiting:
        return
    threads = max((os.cpu_count() or 1) // len(waiting), 1)
    running = {training.init: start(training, seed, threads) for training in waiting}
    slow_terminal = 0.5 if os.isatty(2) else 15.
    try:
        with tqdm(total=sum(training.num_steps for training in waiting), desc=label, unit='step',
                  mininterval=slow_terminal, maxinterval=slow_terminal) as bar:
            while any(process.poll() is None for process in running.values()):
                time.sleep(POLL_SECONDS)
                bar.update(sum(training.step for training in waiting) - bar.n)
    finally:
        for process in running.values():
            process.kill()
    for training in waiting:
        if running[training.init].returncode != 0 or not training.read_metrics():
            text = training.log.read_text(encoding='utf-8', errors='replace')
            lines = text.strip().splitlines() or ['(empty)']
            raise InputError(f'{training.name} failed: {lines[-1][:200]} (see {training.log})')
        training.finished.touch()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--demo', type=Path, default=Path('work_dirs/demo'),
                        help='folder of a finished `make demo`')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo-transfer'),
                        help='output folder')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--tasks', nargs='+', choices=list(TASKS), default=list(TASKS),
                        help='which of the three (default: all)')
    add_trust_argument(parser)
    args = parser.parse_args()

    checkpoint, scenes = find_checkpoint(args.demo), find_scenes(args.demo)
    tasks = [TASKS[name] for name in args.tasks]
    settings = dict(
        checkpoint=sha256_of(checkpoint),
        scenes=json.loads((scenes / 'meta.json').read_text(encoding='utf-8')),
        seed=args.seed, configs={
            task.name: (ROOT / task.config).read_text(encoding='utf-8') for task in tasks})
    results = prepare_output(args.out, settings, [*TASKS, *(f'{name}.png' for name in TASKS)])
    if results is None:
        started = time.time()
        results = dict(metrics={})
        for task in tasks:
            trainings = [Training(task, init, checkpoint, scenes, args.out) for init in INITS]
            train_pair(trainings, args.seed, task.name)
            results['metrics'][task.name] = {
                training.init: training.read_metrics() for training in trainings}
            # Not before it is needed: it imports all three toolboxes.
            from predictions import draw_predictions
            draw_predictions(trainings, args.out / f'{task.name}.png')
        results['seconds'] = round(time.time() - started)
        save_results(args.out, results)
    else:
        print(f'this comparison has run already; delete {args.out} to run it anew')
    print(f'\n{format_table(results["metrics"])}\n\npredictions: {args.out}/*.png\n'
          f'numbers: {args.out}/results.json\ntrainings: {args.out}/TASK/INIT')


if __name__ == '__main__':
    run_tool(main)
