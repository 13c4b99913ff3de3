"""Runs a study: several ways to pre-train, compared at equal time or equal numbers of images.

A study is a short config (see tools/studies/cifar10/peers_study.py): ``arms``, each a training
config with options; ``budget``, seconds or images of a run; ``judges``, the config of the labelled
images that judge it, or ``maps``, the folder of --data whose maps do, and their size there. With
``finetunes`` labelled images judge by fine-tuning as well, on so many labels a class and steps.
Every run is an ordinary training in a folder of its own, on one thread, as many side by side as
--jobs says. Seconds are turned into steps by the processor time of a step, which is measured once,
all arms in turn, as many side by side; so other work on the machine harms results little. A study
may be interrupted at any point and goes on when it is started again.
"""

import argparse
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from statistics import median

from mmengine.config import Config

from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool
from conmim_mm.utils.files import write_text
from conmim_mm.utils.run_config import read_config

TOOL = Path(__file__)
SPEEDS, SETTINGS = 'speeds.json', 'settings.json'
RESULTS = 'results.jsonl'
ROUNDS = 3
THREADS = dict(OMP_NUM_THREADS='1', MKL_NUM_THREADS='1', OMP_WAIT_POLICY='passive')


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('study', type=Path, help='config of the study')
    parser.add_argument('--data', metavar='DIR', help='the images')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument('--arms', nargs='+', metavar='NAME', help='only these')
    parser.add_argument('--budget', type=float, metavar='SECONDS',
                        help="in the place of the study's own budget")
    parser.add_argument('--jobs', type=int, default=2, help='runs side by side')
    parser.add_argument('--out', type=Path, metavar='DIR',
                        help='where runs and results go; default work_dirs/studies/STUDY')
    parser.add_argument('--report', nargs='?', const=True, metavar='JSON_LINES',
                        help='run nothing; write table and figures into --out, of the results that '
                        'are there or of a file of them; with --arms in that order')
    parser.add_argument('--one', nargs=3, metavar=('ARM', 'SEED', 'STEPS'), help=argparse.SUPPRESS)
    parser.add_argument('--time', nargs=2, metavar=('ARM', 'JOB'), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.report and not args.data:
        raise InputError('--data is missing: the folder of the images')
    if not args.report and not Path(args.data).is_dir():
        raise InputError(f'no such folder: {args.data}')
    if args.jobs < 1:
        raise InputError(f'--jobs must be at least 1, but is {args.jobs}')
    if args.budget is not None and not 0 < args.budget < float('inf'):
        raise InputError(f'--budget must be above 0, but is {args.budget}')
    args.out = args.out or Path('work_dirs/studies', args.study.stem)
    return args


def read_study(args: argparse.Namespace):
    """The study's config, cut to the arms and the budget that were asked for."""
    study = read_config(str(args.study))
    unknown = set(args.arms or ()) - set(study.arms)
    if unknown:
        raise InputError(f'{args.study} has no arm {sorted(unknown)[0]}; it has '
                         f'{", ".join(study.arms)}')
    if args.budget is not None:
        study.budget = dict(seconds=args.budget)
    if set(study.budget) not in ({'seconds'}, {'images'}):
        raise InputError('budget must have seconds or images')
    return study


def start(args: argparse.Namespace, *task: object) -> subprocess.Popen:
    """A process of this tool with one task, on one thread."""
    name = '-'.join(map(str, task)).strip('-').replace('/', '_')
    log = args.out / 'logs' / f'{name}.log'
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, TOOL, args.study, '--data', args.data, '--out', args.out,
               *map(str, task)]
    with log.open('w', encoding='utf-8') as file:
        return subprocess.Popen(command, env=os.environ | THREADS, stdout=file, stderr=file)


def measure_speeds(args: argparse.Namespace, arms: list[str]) -> dict[str, float]:
    """Seconds per step of each arm, kept in a file; measured where that has none yet."""
    speeds = read_speeds(args)
    missing = [arm for arm in arms if arm not in speeds]
    found = {arm: [] for arm in missing}
    for _ in range(ROUNDS):
        for arm in missing:
            running = [start(args, '--time', arm, job) for job in range(args.jobs)]
            if any([process.wait() for process in running]):
                raise InputError(f'{arm} cannot be timed; see {args.out / "logs"}')
            found[arm] += [json.loads(time_of(args, arm, job).read_text(encoding='utf-8'))
                           for job in range(args.jobs)]
    speeds |= {arm: median(times) for arm, times in found.items()}
    write_text(args.out / SPEEDS, json.dumps(speeds, indent=1))
    return speeds


def time_of(args: argparse.Namespace, arm: str, job: int) -> Path:
    return args.out / 'times' / f'{arm}-{job}.json'


def read_speeds(args: argparse.Namespace) -> dict[str, float]:
    """Seconds per step of each arm that has been timed."""
    path = args.out / SPEEDS
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}


def steps_of(study, arm: str, speeds: dict[str, float], batch_size: int) -> int:
    """Steps of an arm's run; none of one that is not trained."""
    if study.arms[arm].get('untrained'):
        return 0
    if 'images' in study.budget:
        return study.budget.images // batch_size
    return round(study.budget.seconds / speeds[arm])


def run_study(args: argparse.Namespace) -> None:
    """All runs that have no result yet, as many side by side as asked for."""
    study = read_study(args)
    arms = [arm for arm in study.arms if not args.arms or arm in args.arms]
    args.out.mkdir(parents=True, exist_ok=True)
    configs = configs_of(study, arms)
    keep_settings(args, study, configs)
    trained = [arm for arm in arms if not study.arms[arm].get('untrained')]
    speeds = measure_speeds(args, trained) if 'seconds' in study.budget else {}
    batch = batch_sizes(configs)
    waiting = [(arm, seed, steps_of(study, arm, speeds, batch[arm]))
               for seed in args.seeds for arm in arms]
    running, failed = {}, []
    while waiting or running:
        while waiting and len(running) < args.jobs:
            task = waiting.pop(0)
            if not result_of(args, *task).is_file():
                print(f'{task[0]}, seed {task[1]}: {task[2]} steps', flush=True)
                running[start(args, '--one', *task)] = task
        for process in list(running):
            try:
                status = process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                continue
            task = running.pop(process)
            failed += [task[0]] if status else []
            print(f'{task[0]}, seed {task[1]}: ' +
                  (f'failed, see {args.out / "logs"}' if status else
                   result_of(args, *task).read_text(encoding='utf-8')), flush=True)
    collect(args)
    if failed:
        raise InputError(f'{len(failed)} runs failed: {", ".join(failed)}; their logs are in '
                         f'{args.out / "logs"}')


def configs_of(study, arms: list[str]) -> dict[str, Config]:
    """The training config of each arm, as the study changes it."""
    return {arm: read_config(study.arms[arm].config, study.arms[arm].get('options'))
            for arm in arms}


def batch_sizes(configs: dict[str, Config]) -> dict[str, int]:
    """Images per step of each arm."""
    return {arm: cfg.train_dataloader.batch_size for arm, cfg in configs.items()}


def keep_settings(args: argparse.Namespace, study, configs: dict[str, Config]) -> None:
    """Notes with what settings the runs of each arm are made.

    Raises:
        InputError: There are runs that were made or judged with other ones.
    """
    path = args.out / SETTINGS
    kept = json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}
    judge = {key: study.get(key) for key in ('maps', 'finetunes')}
    if 'judges' in study:
        judge['judges'] = read_config(study.judges).to_dict()
    begun = {folder.name.rpartition('-')[0] for folder in args.out.glob('runs/*')}
    for arm, cfg in configs.items():
        now = json.loads(json.dumps(dict(train=cfg.to_dict(), judge=judge), default=str))
        if arm in begun and kept.get(arm, now) != now:
            raise InputError(f'{args.out} has runs of {arm} with other settings ({path}): give '
                             'another --out, or move them aside')
        kept[arm] = now
    write_text(path, json.dumps(kept, indent=1))


def folder_of(args: argparse.Namespace, arm: str, seed: int, steps: int) -> Path:
    return args.out / 'runs' / f'{arm}-{steps}' / f'seed{seed}'


def result_of(args: argparse.Namespace, arm: str, seed: int, steps: int) -> Path:
    return folder_of(args, arm, seed, steps) / 'result.json'


def collect(args: argparse.Namespace) -> None:
    """Writes the results of all runs, of any budget, as JSON lines."""
    speeds, lines = read_speeds(args), []
    for path in sorted(args.out.glob('runs/*/seed*/result.json')):
        arm, _, steps = path.parts[-3].rpartition('-')
        line = dict(arm=arm, seed=int(path.parts[-2].removeprefix('seed')))
        if arm in speeds or steps == '0':
            line['core_seconds'] = round(int(steps) * speeds.get(arm, 0.))
        lines.append(line | json.loads(path.read_text(encoding='utf-8')))
    if lines:
        write_text(args.out / RESULTS, ''.join(f'{json.dumps(line)}\n' for line in lines))


def report(args: argparse.Namespace) -> None:
    """Table and figures of the study's runs, or of JSON lines that were kept."""
    from study_report import write_report

    study = read_study(args)
    arms = args.arms or list(study.arms)
    if args.report is True:
        collect(args)
        path = args.out / RESULTS
    else:
        path = Path(args.report)
    try:
        lines = list(map(json.loads, path.read_text(encoding='utf-8').splitlines()))
    except (OSError, ValueError) as error:
        raise InputError(f'{path} cannot be read as JSON lines: {error}') from None
    if not all(isinstance(line, dict) and {'arm', 'seed', 'steps'} <= line.keys()
               for line in lines):
        raise InputError(f'{path} has lines that are no results of a study')
    sizes = batch_sizes(configs_of(study, arms))
    print(write_report(lines, arms, study.budget, sizes, args.out))


def do_task(args: argparse.Namespace) -> None:
    """What a process that :func:`start` started does."""
    import one_run

    from conmim_mm import register_all_modules

    register_all_modules()
    one_run.set_threads()
    study = read_study(args)
    if args.time:
        arm, job = args.time[0], int(args.time[1])
        path = time_of(args, arm, job)
        seconds = one_run.seconds_per_step(study.arms[arm], args.data, path.with_suffix(''))
        write_text(path, json.dumps(seconds))
    else:
        arm, seed, steps = args.one[0], int(args.one[1]), int(args.one[2])
        if 'maps' in study:
            judge = partial(one_run.judge_maps, maps=Path(args.data, study.maps.folder),
                            img_size=study.maps.img_size)
        else:
            judge = partial(one_run.judge_images, finetunes=study.get('finetunes', []),
                            judges=read_config(study.judges, None, args.data))
        one_run.run(study.arms[arm], judge, args.data, folder_of(args, arm, seed, steps), seed,
                    steps)


def main() -> None:
    args = parse()
    if args.one or args.time:
        do_task(args)
    elif args.report:
        report(args)
    else:
        run_study(args)


if __name__ == '__main__':
    run_tool(main)
