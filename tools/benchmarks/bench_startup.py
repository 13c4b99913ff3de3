"""Where the time goes from the start of tools/train.py to the end of its first step.

Every run is a process of its own, with generated scenes as its data. Wall clock and CPU seconds are
medians. The data workers' CPU seconds are only in those of the last phase.
"""

import argparse
import importlib
import json
import resource
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/conmim/vit-tiny_1xb32_scenes-64px.py'
PHASES = {
    'interpreter': 'start of Python',
    'imports': 'imports',
    'config': 'arguments, config, checks',
    'built': 'runner and model',
    'before_train': 'data set, optimizer, log of the run',
    'before_train_iter': 'data workers, first batch',
    'after_train_iter': 'first step',
    'ended': 'checkpoint, end of the process',
}
LAST_OF_FIRST_STEP = 'after_train_iter'


def train(config: str, data_root: str, folder: Path) -> None:
    """Runs tools/train.py for one step in this process and notes when each phase ended."""
    ends = {}

    def mark(phase: str) -> None:
        if phase in PHASES:
            ends.setdefault(phase, (time.time(), time.process_time()))

    mark('interpreter')
    importlib.import_module('conmim_mm.registration')  # which tools/train.py does a little later
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner
    mark('imports')

    @RUNNERS.register_module()
    class MarkingRunner(Runner):

        @classmethod
        def from_cfg(cls, cfg: dict) -> Runner:
            mark('config')
            runner = super().from_cfg(cfg)
            mark('built')
            return runner

        def call_hook(self, fn_name: str, **arguments: object) -> None:
            mark(fn_name)
            super().call_hook(fn_name, **arguments)

    sys.argv = [
        'train.py', config, '--data-root', data_root, '--work-dir', str(folder / 'run'),
        '--cfg-options', 'train_cfg.max_iters=1', 'param_scheduler.warmup=0',
        'runner_type=MarkingRunner']
    sys.path.insert(0, str(ROOT / 'tools'))  # as Python itself does for a script
    runpy.run_path(str(ROOT / 'tools/train.py'), run_name='__main__')
    (folder / 'ends.json').write_text(json.dumps(ends))


def measure(config: str, data_root: str) -> dict[str, tuple[float, float]]:
    """Wall clock and CPU seconds of each phase of one run in a new process."""
    from conmim_mm.errors import InputError

    with tempfile.TemporaryDirectory() as folder:
        cpu_before, start = cpu_of_children(), time.time()
        result = subprocess.run(
            [sys.executable, __file__, '--config', config, '--data-root', data_root,
             '--run', folder],
            capture_output=True, text=True, cwd=ROOT)
        end, cpu = time.time(), cpu_of_children() - cpu_before
        if result.returncode:
            lines = result.stderr.split('\n')
            last = next(filter(str.strip, reversed(lines)), 'it ended without a word')
            raise InputError(f'the run failed: {last}')
        ends = json.loads((Path(folder) / 'ends.json').read_text())
    ends['ended'] = (end, cpu)
    seconds, last = {}, (start, 0.)
    for phase in PHASES:
        seconds[phase] = (ends[phase][0] - last[0], ends[phase][1] - last[1])
        last = ends[phase]
    first_step = ends[LAST_OF_FIRST_STEP]
    return seconds | {'first step ended': (first_step[0] - start, first_step[1]),
                      'all together': (end - start, cpu)}


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def medians(runs: list[dict[str, tuple[float, float]]]) -> dict[str, dict[str, float]]:
    """Median wall clock and CPU seconds of each phase."""
    return {
        phase: dict(wall=round(statistics.median(run[phase][0] for run in runs), 2),
                    cpu=round(statistics.median(run[phase][1] for run in runs), 2))
        for phase in runs[0]
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', default=CONFIG, help='default: %(default)s')
    parser.add_argument('--data-root', help="the config's data; default: 300 generated scenes")
    parser.add_argument('--repeats', type=int, default=5, help='runs')
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    parser.add_argument('--run', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        train(args.config, args.data_root, args.run)
        return
    report(args)


def report(args: argparse.Namespace) -> None:
    """Measures and prints."""
    from conmim_mm.errors import InputError

    if args.repeats < 1:
        raise InputError('--repeats must be at least 1')
    with tempfile.TemporaryDirectory() as folder:
        if args.data_root is None:
            sys.path.append(str(ROOT / 'tools/dataset_converters'))  # for the scenes
            from scenes import SceneSettings, make_scenes

            make_scenes(folder, SceneSettings(images=300, size=64))
        data_root = str(Path(args.data_root or f'{folder}/imagenet').resolve())
        table = medians([measure(args.config, data_root) for _ in range(args.repeats)])
    if args.json:
        print(json.dumps(table))
        return
    print(f'{args.config}, median of {args.repeats}: seconds by the clock, seconds of CPU')
    for phase, times in table.items():
        print(f'{PHASES.get(phase, phase):<38}{times["wall"]:>10.2f}{times["cpu"]:>8.2f}')


if __name__ == '__main__':
    if '--run' in sys.argv:
        main()
    else:
        from conmim_mm.utils.cli import run_tool
        run_tool(main)
