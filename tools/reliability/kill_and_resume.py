"""Kills the training of a tiny model over and over, resumes it, and looks what has been lost.

Each kill is a SIGKILL at a random moment, every second one while a file is being written, or after
a number of steps. Every resume has to work, and the final weights, optimizer state, schedules and
logged losses have to equal those of the run that was left alone. Memory and open files of each
process are noted when it ends. Prints one JSON object.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from PIL import Image
from run_comparison import run_differences
from tqdm import tqdm

import conmim_mm.registration  # noqa: F401  (in the processes that are started as well)
from conmim_mm.apis.train import resume_from_newest
from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool
from conmim_mm.utils.files import write_text

CONFIG = Path(__file__).parents[2] / 'configs/conmim/vit-tiny_1xb32_scenes-64px.py'
IMAGES, SIDE, BATCH = 32, 72, 4
PROGRESS = 'progress.json'


class Progress(Hook):
    """Writes after every step how far a process is and what it holds."""

    priority = 'LOWEST'

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        write_text(Path(runner.work_dir, PROGRESS), json.dumps(dict(
            pid=os.getpid(), step=runner.iter + 1, bytes=resident_bytes(),
            files=len(os.listdir('/proc/self/fd')))))


def resident_bytes() -> int:
    """Memory of this process."""
    pages = int(Path('/proc/self/statm').read_text(encoding='utf-8').split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE')


def build_config(images: Path, work_dir: Path, args: argparse.Namespace) -> Config:
    """The demo's recipe on noise, its ViT of two narrow blocks, saved often, one file kept."""
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({
        'model.backbone.arch': dict(
            _delete_=True, embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48),
        'model.backbone.drop_path_rate': 0.2,  # random numbers in every step
        'model.neck': dict(in_channels=24, hid_channels=32, out_channels=16),
        'train_dataloader': dict(
            batch_size=BATCH, num_workers=args.workers, persistent_workers=args.workers > 0,
            pin_memory=False, dataset=dict(data_root=str(images), data_prefix='')),
        'train_cfg.max_iters': args.steps,
        'param_scheduler.warmup': 10,
        'default_hooks.logger.interval': 1,
        'default_hooks.checkpoint.interval': args.interval,
        'default_hooks.checkpoint.max_keep_ckpts': 1,
    })
    cfg.work_dir, cfg.launcher, cfg.log_level = str(work_dir), 'none', 'ERROR'
    cfg.experiment_name = f'{work_dir.name}_{os.getpid()}'
    return cfg


def start(images: Path, work_dir: Path, args: argparse.Namespace) -> int:
    """Trains or goes on in a process of its own; returns its number."""
    pid = os.fork()
    if pid:
        return pid
    # the child: everything is imported already, so a start costs no seconds
    status = 1
    try:
        torch.set_num_threads(1)
        cfg = build_config(images, work_dir, args)
        resume_from_newest(cfg)
        runner = Runner.from_cfg(cfg)
        runner.register_hook(Progress())
        runner.train()
        status = 0
    except BaseException as error:  # whatever it is, this child must not go on as its parent
        print(f'{type(error).__name__}: {error}', file=sys.stderr)
    finally:
        os._exit(status)


def read_progress(work_dir: Path, pid: int) -> dict | None:
    """What a process wrote last; None if it has not finished a step yet."""
    path = work_dir / PROGRESS
    progress = json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}
    return progress if progress.get('pid') == pid else None


def has_ended(pid: int, options: int = os.WNOHANG) -> bool:
    """Whether a process has ended by itself.

    Raises:
        InputError: It has failed.
    """
    ended, status = os.waitpid(pid, options)
    if ended and status:
        raise InputError(f'a training ended with {os.waitstatus_to_exitcode(status)}, without '
                         'having been killed')
    return bool(ended)


def half_written(work_dir: Path) -> list[str]:
    """Checkpoints and pointers that are not in their place yet."""
    return [path.name for pattern in ('.*.pth.*.tmp', '.last_checkpoint.*.tmp')
            for path in work_dir.glob(pattern)]


def train_disturbed(images: Path, work_dir: Path, args: argparse.Namespace) -> list[dict]:
    """Trains to the end in spite of the kills; gives each process' last progress."""
    moments = random.Random(args.seed)
    seen = []
    for kill in tqdm(range(args.kills + 1), desc='kills', unit='kill', leave=False):
        pid, begun = start(images, work_dir, args), time.monotonic()
        wait, first, progress = moments.uniform(0, args.max_wait), None, None
        while not has_ended(pid):
            progress = read_progress(work_dir, pid) or progress
            if progress and first is None:
                first = progress['step']
            if args.every is None:
                # every second one waits for a file that is being written
                due = time.monotonic() - begun > wait and (
                    kill % 2 == 0 or any(half_written(work_dir)))
            else:
                due = progress and progress['step'] - first + 1 >= args.every
            # the last process is left to train to the end
            if due and kill < args.kills:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                break
            time.sleep(0.001)
        progress = read_progress(work_dir, pid) or progress
        seen.append(dict(first=first, left=half_written(work_dir), **(progress or {})))
    return seen


def write_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for i in range(IMAGES):
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'{i}.png')


def summarise(args: argparse.Namespace, seen: list[dict], found: list[str]) -> dict:
    """The numbers of a test."""
    ends = [process for process in seen if process['first'] is not None]
    return dict(
        steps=args.steps, kills=args.kills, saved_every=args.interval, workers=args.workers,
        killed_before_a_step=len(seen) - len(ends),
        killed_while_saving=sum(bool(process['left']) for process in seen[:-1]),
        steps_taken_twice=sum(before['step'] - after['first'] + 1
                              for before, after in zip(ends, ends[1:], strict=False)
                              if after['first'] <= before['step']),
        megabytes=[round(process['bytes'] / 2**20, 1) for process in ends],
        open_files=[process['files'] for process in ends],
        equal=not found, differences=found[:10])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/kill_and_resume'),
                        help='folder, which is emptied')
    parser.add_argument('--kills', type=int, default=50)
    parser.add_argument('--steps', type=int, default=400, help='of the whole run')
    parser.add_argument('--every', type=int, metavar='STEPS',
                        help='kill after so many steps rather than at a random moment')
    parser.add_argument('--max-wait', type=float, default=2., metavar='SECONDS',
                        help='latest random moment, counted from the start of a process')
    parser.add_argument('--interval', type=int, default=1, help='save every so many steps')
    parser.add_argument('--workers', type=int, default=0, help='data workers')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('kill_and_resume', log_level='ERROR')
    images, disturbed, undisturbed = own = [args.out / name for name in
                                            ('images', 'run', 'undisturbed')]
    if args.out.is_dir() and not set(args.out.iterdir()) <= set(own):
        raise InputError(f'{args.out} holds something else, and would be emptied: choose another '
                         '--out')
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    write_images(images)

    seen = train_disturbed(images, disturbed, args)
    has_ended(start(images, undisturbed, args), options=0)  # waits for it
    results = summarise(args, seen, run_differences(disturbed, undisturbed))
    print(json.dumps(results))
    if not results['equal']:
        raise SystemExit(1)


if __name__ == '__main__':
    run_tool(main)
