"""Gives thousands of damaged files to the readers of this project, the same ones every time.

Checkpoints, images (for Pillow's reader and for that of JPEG regions), tar files and folders of
runs. Each has to be read or refused in one line. A fault is any other exception, more than ten
seconds, a crash, a file written outside of the case's folder, and anything that is executed.
Prints a table and the faults; ends with status 1 where there are some.
"""

import argparse
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from damages import OUTSIDE, SECRET, SECRET_TEXT
from fuzz_checkpoints import read_checkpoint, write_checkpoint
from fuzz_images import read_image, read_region, write_image, write_jpeg
from fuzz_runs import read_run, write_run
from fuzz_tars import read_tar, write_tar
from mmengine.logging import MMLogger
from tqdm import tqdm

import conmim_mm.registration  # noqa: F401  (in the processes that are started as well)
from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool

SECONDS = 10  # for a case
MEMORY = 4 * 2**30  # bytes for a case
STARTS = ('os.system', 'os.exec', 'os.posix_spawn', 'os.fork', 'subprocess.Popen',
          'pickle.find_class')
CHANGES = ('os.remove', 'os.rename', 'os.rmdir', 'os.mkdir', 'os.link', 'os.symlink', 'os.truncate',
           'os.chmod', 'os.utime')
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Kind(NamedTuple):
    """What is fuzzed.

    Attributes:
        count: How many cases by default.
        write: Writes one into a folder of its own.
        read: Reads it; nothing but ``InputError`` may come out.
    """

    count: int
    write: Callable[[Path, np.random.Generator], None]
    read: Callable[[Path], None]


KINDS = dict(
    checkpoint=Kind(5000, write_checkpoint, read_checkpoint),
    pillow=Kind(2500, write_image, read_image),
    region=Kind(2500, write_jpeg, read_region),
    tar=Kind(2000, write_tar, read_tar),
    run=Kind(500, write_run, read_run))


class Outcome(NamedTuple):
    """What became of a case: ``'read'``, ``'refused'`` or ``'fault'``, and why."""

    number: int
    verdict: str
    detail: str
    seconds: float


class Watch:
    """Notes what Python starts, executes and writes where it must not; it stays to the end."""

    def __init__(self) -> None:
        self.folder, self.seen = '', []
        sys.addaudithook(self.note)

    def begin(self, folder: Path) -> None:
        """From now on files may be written inside of this folder, and none of it is executed."""
        self.folder, self.seen = f'{os.path.realpath(folder)}/', []

    def note(self, event: str, args: tuple) -> None:
        """Python's audit hook."""
        if event in STARTS:
            self.seen.append(f'{event} {args}'[:200])
        elif event == 'exec' and self.is_inside(args[0].co_filename):
            self.seen.append(f'executed {args[0].co_filename}')
        elif event == 'open' and isinstance(args[0], str | bytes) and args[2] & WRITING and \
                not self.is_inside(args[0]):
            self.seen.append(f'opened {os.fsdecode(args[0])} for writing')
        elif event in CHANGES and not all(
                self.is_inside(path) or self.is_inside(os.path.dirname(path))  # of a link
                for path in args if isinstance(path, str | bytes)):
            self.seen.append(f'{event} {args}')

    def is_inside(self, path: str | bytes) -> bool:
        return f'{os.path.realpath(os.fsdecode(path))}/'.startswith(self.folder)


def outside_state(folder: Path) -> list:
    """Names, sizes and contents of what must not be touched."""
    return sorted((path.name, path.read_bytes()) for path in folder.iterdir())


def run_case(name: str, number: int, folder: Path, seed: int, watch: Watch) -> Outcome:
    """Writes and reads a case; its folder stays where it is at fault."""
    kind, outside, case = KINDS[name], folder / OUTSIDE, folder / f'{name}-{number}'
    before, began = outside_state(outside), time.monotonic()
    case.mkdir()
    kind.write(case, np.random.default_rng([seed, list(KINDS).index(name), number]))
    watch.begin(case)
    verdict, detail = 'read', ''
    try:
        kind.read(case)
    except InputError as error:
        verdict, detail = 'refused', str(error)
        if '\n' in detail:
            verdict = 'fault'
    except BaseException as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        verdict = 'fault'
        detail = f'{type(error).__name__}: {str(error)[:200]} ({at.filename}:{at.lineno})'
    if watch.seen or outside_state(outside) != before:
        verdict, detail = 'fault', '; '.join(watch.seen) or 'a file outside was changed'
    if verdict != 'fault':
        shutil.rmtree(case)
    return Outcome(number, verdict, detail, time.monotonic() - began)


def work(name: str, numbers: range, folder: Path, seed: int, pipe: int) -> None:
    """A process' work: each outcome becomes a line in the pipe."""
    sys.dont_write_bytecode = True
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    sys.stderr = os.fdopen(os.dup(2), 'w', encoding='utf-8')
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders write to it
    os.environ['XDG_CACHE_HOME'] = str(folder)
    pages = int(Path('/proc/self/statm').read_text(encoding='ascii').split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (
        pages * os.sysconf('SC_PAGE_SIZE') + MEMORY, resource.RLIM_INFINITY))
    watch = Watch()
    for number in numbers:
        outcome = run_case(name, number, folder, seed, watch)
        os.write(pipe, json.dumps(outcome).encode() + b'\n')


def start(name: str, numbers: range, folder: Path, seed: int) -> tuple[int, int]:
    """Starts a process; its number, and where its outcomes come from."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    status = 1
    try:
        os.close(reading)
        work(name, numbers, folder, seed, writing)
        status = 0
    except BaseException:  # whatever it is, this child must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(status)


def fuzz(name: str, numbers: range, folder: Path, seed: int) -> list[Outcome]:
    """All cases of a kind, in processes that may hang or die."""
    outcomes, bar = [], tqdm(total=len(numbers), desc=name, unit='case', leave=False,
                         disable=None)
    while len(outcomes) < len(numbers):
        pid, pipe = start(name, numbers[len(outcomes):], folder, seed)
        lines, in_time = os.fdopen(pipe, 'rb', buffering=0), True
        while in_time := bool(select.select([lines], [], [], SECONDS)[0]):
            line = lines.readline()
            if not line:
                break
            outcomes.append(Outcome(*json.loads(line)))
            bar.update()
        if not in_time:
            os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        lines.close()
        if len(outcomes) < len(numbers):
            why = f'ended with {status}' if in_time else f'no end within {SECONDS} s'
            outcomes.append(Outcome(numbers[len(outcomes)], 'fault', why, float(SECONDS)))
    bar.close()
    return outcomes


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--only', choices=KINDS, metavar='KIND',
                        help=f'one of {", ".join(KINDS)} (default: all)')
    parser.add_argument('--count', type=int, metavar='N', help='cases of each kind (default: '
                        f'{", ".join(f"{kind.count} {name}" for name, kind in KINDS.items())})')
    parser.add_argument('--first', type=int, default=0, metavar='N',
                        help='number of the first case; with --count 1 a single one is repeated')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, metavar='DIR',
                        help='new folder, in which what was at fault stays')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('fuzz', log_level='CRITICAL')
    folder = args.out or Path(tempfile.mkdtemp(prefix='fuzz-'))
    (folder / OUTSIDE).mkdir(parents=True)
    (folder / OUTSIDE / SECRET).write_text(SECRET_TEXT, encoding='utf-8')
    faults = 0
    print('| kind | cases | read | refused | faults | slowest |\n|---|---|---|---|---|---|')
    for name in [args.only] if args.only else KINDS:
        numbers = range(args.first, args.first + (args.count or KINDS[name].count))
        outcomes = fuzz(name, numbers, folder, args.seed)
        found = [one for one in outcomes if one.verdict == 'fault']
        counts = Counter(one.verdict for one in outcomes)
        print(f'| {name} | {len(outcomes)} | {counts["read"]} | {counts["refused"]} | '
              f'{len(found)} | {max(one.seconds for one in outcomes):.1f} s |', flush=True)
        for one in found:
            print(f'{name} {one.number}: {one.detail}', file=sys.stderr)
        faults += len(found)
    if args.out is None:
        shutil.rmtree(folder)
    if faults:
        raise SystemExit(1)


if __name__ == '__main__':
    run_tool(main)
