"""How far a run is, and whether it goes on."""

import json
import time
from pathlib import Path
from typing import NamedTuple

from ..utils.files import is_plain_file_in, write_text
from ..utils.work_dir import LOG_FILES
from .numbers import format_duration
from .run_log import RunLog, finite

SILENCE = 900.  # seconds without a sign of life after which a run counts as dead ...
SILENT_ENTRIES = 20  # ... or the time of so many steps between two log entries
RECENT = 20  # entries from which the time of a step is taken

RUNNING, FINISHED, STOPPED, FAILED = 'running', 'finished', 'stopped', 'failed'

FOLDER = 'report'
PAGE = 'report.html'  # beside the folder
FACTS = 'facts.json'  # versions, machine, data set, settings
PROGRESS = 'progress.json'  # how far the run is, and whether it goes on
SAMPLES = 'samples.json'  # what the model is fed
PICTURES = 'pictures.json'  # what explains the model
MAX_JSON = 2**24  # bytes of one of them


class Progress(NamedTuple):
    """Where a run stands.

    Attributes:
        state: ``'running'``, ``'finished'``, ``'stopped'``, ``'failed'``, ``'silent'`` or
            ``'unknown'``.
        headline: That in words.
        share: Of its iterations, 0 to 1; None if their number is not known.
        detail: Iterations, epochs and time left.
    """

    state: str
    headline: str
    share: float | None
    detail: str


def note_progress(work_dir: Path, state: str, iteration: int, max_iters: int,
                  max_epochs: int | None, error: str = '') -> None:
    """Notes where a run stands, for :func:`read_progress`.

    Args:
        work_dir: Folder of the run.
        state: One of the four that a run can tell of itself.
        iteration: Iterations done.
        max_iters: Iterations planned.
        max_epochs: Epochs planned; None for a run that is not counted in them.
        error: What ended the run, one line.
    """
    write_json(work_dir, PROGRESS, dict(
        state=state, iteration=iteration, max_iters=max_iters, max_epochs=max_epochs, error=error,
        time=time.time()))


def read_progress(work_dir: Path, log: RunLog) -> Progress:
    """Where a run stands, by what it noted and by the age of its log.

    Args:
        work_dir: Folder of the run.
        log: Its log.
    """
    noted = read_json(work_dir, PROGRESS, {})
    iteration, max_iters = noted.get('iteration'), noted.get('max_iters')
    if not (finite(iteration) and finite(max_iters) and max_iters > 0):
        steps = log.training[-1]['step'] if log.training else 0
        return Progress('unknown', f'{steps:,} steps logged', None,
                        'of how many, this run has not noted')
    step_time = _step_time(log)
    state, headline = str(noted.get('state')), ''
    if state == RUNNING:
        silence = time.time() - _last_sign(work_dir, noted)
        if silence > max(SILENCE, SILENT_ENTRIES * _entry_time(log, step_time)):
            state = 'silent'
            headline = (f'No sign of life for {format_duration(silence)}: it was probably killed. '
                        'The same command with --resume goes on.')
    headline = headline or {
        RUNNING: 'Running',
        FINISHED: 'Finished' if iteration >= max_iters else 'Ended early, by itself',
        STOPPED: 'Stopped by a signal, all saved. The same command with --resume goes on.',
        FAILED: f'Ended by an error: {noted.get("error")}',
    }.get(state, state)
    return Progress(state, headline, min(max(iteration / max_iters, 0.), 1.),
                    _detail(noted, state, step_time))


def _detail(noted: dict, state: str, step_time: float | None) -> str:
    iteration, max_iters = noted['iteration'], noted['max_iters']
    parts = [f'step {iteration:,} of {max_iters:,}']
    if finite(noted.get('max_epochs')):
        parts.append(f'epoch {noted["max_epochs"] * iteration / max_iters:.1f} of '
                     f'{noted["max_epochs"]}')
    if state == RUNNING and step_time and iteration < max_iters:
        parts.append(f'about {format_duration((max_iters - iteration) * step_time)} left')
    return ', '.join(parts)


def _last_sign(work_dir: Path, noted: dict) -> float:
    times = [path.stat().st_mtime for path in work_dir.glob(LOG_FILES)]
    return max([*times, noted['time'] if finite(noted.get('time')) else 0.])


def _step_time(log: RunLog) -> float | None:
    times = [entry['time'] for entry in log.training[-RECENT:] if finite(entry.get('time'))]
    return sum(times) / len(times) if times else None


def _entry_time(log: RunLog, step_time: float | None) -> float:
    if len(log.training) < 2 or step_time is None:
        return 0.
    return (log.training[-1]['step'] - log.training[-2]['step']) * step_time


def note_start(work_dir: Path, facts: dict, iteration: int) -> None:
    """Writes the facts of a start of a run, and adds it to the list of its starts.

    Args:
        work_dir: Folder of the run.
        facts: Of :func:`gather_facts`.
        iteration: From which it goes on; at 0 the list begins anew.
    """
    starts = read_json(work_dir, FACTS, {}).get('starts', []) if iteration else []
    write_json(work_dir, FACTS, facts | dict(
        starts=[*starts, dict(time=time.time(), iteration=iteration)]))


def write_json(work_dir: Path, name: str, content: object) -> None:
    """Writes a file of the report folder, making that where it is missing."""
    write_text(work_dir / FOLDER / name,
               json.dumps(content, indent=1, skipkeys=True, default=repr))


def read_json(work_dir: Path, name: str, default: dict | list) -> dict | list:
    """A file of the report folder; ``default`` where it is missing, damaged or of another kind."""
    path = work_dir / FOLDER / name
    try:
        small = is_plain_file_in(work_dir, path) and path.stat().st_size < MAX_JSON
        content = json.loads(path.read_text(encoding='utf-8')) if small else default
    except (OSError, ValueError, RecursionError):
        return default
    return content if isinstance(content, type(default)) else default
