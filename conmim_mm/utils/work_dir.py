"""What a run leaves in its folder, and from what it can go on."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from ..checkpoint.integrity import DamagedCheckpointError, is_archive
from ..checkpoint.reading import check_checkpoint_file, load_checkpoint_file, read_meta
from ..errors import InputError
from .files import lines_in, write_text

LAST_CHECKPOINT_FILE = 'last_checkpoint'
LOG_FILES = '*/vis_data/scalars.json'  # one for each start of a run
INTERRUPTED = 'interrupted.pth'  # saved between two regular checkpoints, on a signal
SKIPPED_IMAGES_FILE = 'skipped.txt'  # see SkippedImagesHook
BAD_STEP_PREFIX = 'bad_step_'  # files for inspection, see BadNumbersHook
BEST_PREFIX = 'best_'  # checkpoints without the optimizer


def last_checkpoint(work_dir: Path) -> Path | None:
    """The checkpoint that was saved last, also after its folder has moved.

    Args:
        work_dir: Folder of the run. The checkpoint lies there or, where the run has an ``out_dir``
            elsewhere, where it was saved.

    Returns:
        It may be gone by now. None where no name can be read.
    """
    pointer = work_dir / LAST_CHECKPOINT_FILE
    try:
        text = pointer.read_text(encoding='utf-8').strip() if pointer.is_file() else ''
    except (OSError, ValueError):
        return None
    saved = Path(text)
    if not text.isprintable() or not saved.name:
        return None
    here = work_dir / saved.name
    elsewhere = not os.path.lexists(here) and saved.is_absolute() and os.path.lexists(saved)
    return saved if elsewhere else here


def checkpoint_file(path: str | Path) -> str | Path:
    """The file or address itself, or the last checkpoint of a run's folder.

    Raises:
        InputError: The folder has none.
    """
    if not Path(path).is_dir():
        return path
    last = last_checkpoint(Path(path))
    if last is None:
        raise InputError(f'there is no checkpoint in {path} yet')
    return last


def log_entries(work_dir: Path) -> Iterator[dict]:
    """Whatever a run logged, over all its starts in their order; a line cut off by a kill left out.

    Args:
        work_dir: Folder of the run.

    Raises:
        InputError: A log cannot be read.
    """
    for path in sorted(Path(work_dir).glob(LOG_FILES)):
        for line in lines_in(Path(work_dir), path):
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):  # numbers and brackets without end, too
                continue
            if isinstance(entry, dict):
                yield entry


def newest_complete_checkpoint(work_dir: Path, out_dir: Path | None = None) -> Path | None:
    """The checkpoint to resume from: the last one, or the newest before it that is whole.

    Every byte is read and compared with the check sums in the file. A damaged one is named in the
    log and passed over. The newest is the one with the most steps, whatever its file's date is.

    Args:
        work_dir: Folder of the run; it need not exist.
        out_dir: Where its checkpoints are, if not there.

    Returns:
        None where there is no checkpoint and none is named.

    Raises:
        InputError: There are checkpoints, and none can be used; or one that would be used, or a
            folder, cannot be read, which need not last.
    """
    work_dir = Path(os.path.abspath(work_dir))
    out_dir = Path(os.path.abspath(out_dir or work_dir))  # else the same ones may be found twice
    found = [path for folder in dict.fromkeys([work_dir, out_dir])
             for path in _checkpoints_in(folder)]
    last = last_checkpoint(work_dir)
    if last and is_complete(last):
        return last
    others = {path for path in found if not path.name.startswith(BEST_PREFIX)} - {last}
    progress = {path: _progress(path) for path in others}
    newest_first = sorted(others, key=lambda path: progress[path] or (), reverse=True)
    for path in [last] * bool(last) + newest_first:
        if progress.get(path) and is_complete(path):
            return path
        print_log(f'{path} is missing or damaged: going back to the checkpoint before it',
                  logger='current', level=logging.WARNING)
    if found or os.path.lexists(work_dir / LAST_CHECKPOINT_FILE):
        names = ', '.join(path.name for path in found[:3]) or LAST_CHECKPOINT_FILE
        raise InputError(f'{work_dir} holds a run ({names}), and none of its checkpoints can be '
                         'used to go on: bring one back, or start anew without --resume in '
                         'another folder')
    return None


def is_complete(path: Path) -> bool:
    """Whether a file is there and is a checkpoint as it was written, by the check sums in it.

    Raises:
        InputError: It cannot be read, or not without running code: that is not damage.
    """
    try:
        check_checkpoint_file(path)
        # that PyTorch finds its way in it, too
        return is_archive(path) and bool(load_checkpoint_file(path, mmap=True))
    except DamagedCheckpointError:
        return False
    except InputError:
        if os.path.lexists(path):
            raise
        return False


def checkpoint_folder(work_dir: str | Path, cfg: Config) -> Path:
    """Where a run puts its checkpoints: its work dir, or a folder of the same name elsewhere.

    Args:
        work_dir: Folder of the run, which may be a copy by now.
        cfg: Of the run.
    """
    work_dir = Path(os.path.abspath(work_dir))
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    return Path(hook.get('out_dir') or work_dir.parent, work_dir.name)


def _checkpoints_in(folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f'cannot read {folder}: {error.strerror}') from error
    return [folder / name for name in names
            if name.endswith('.pth') and not name.startswith(('.', BAD_STEP_PREFIX))]


def _progress(path: Path) -> tuple[int, int] | None:
    """Steps done by what is in a checkpoint, and the number in its name; None of a damaged one."""
    try:
        step = read_meta(path).get('iter')
    except DamagedCheckpointError:
        return None
    number = ''.join(filter(str.isdigit, path.stem))[-18:]
    return step if isinstance(step, int) else -1, int(number or -1)


def write_last_checkpoint(work_dir: Path, checkpoint: Path) -> None:
    """Makes ``last_checkpoint`` of a work dir name a checkpoint, as MMEngine reads it."""
    write_text(work_dir / LAST_CHECKPOINT_FILE, os.path.abspath(checkpoint), durable=True)
