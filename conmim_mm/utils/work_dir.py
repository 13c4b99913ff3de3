"""What a run leaves in its folder, and from what it can go on."""

import json
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path

from mmengine.logging import print_log

from .files import lines_in, write_text

LAST_CHECKPOINT_FILE = 'last_checkpoint'
LOG_FILES = '*/vis_data/scalars.json'  # one for each start of a run
INTERRUPTED = 'interrupted.pth'  # saved between two regular checkpoints, on a signal
SKIPPED_IMAGES_FILE = 'skipped.txt'  # see SkippedImagesHook
BAD_STEP_PREFIX = 'bad_step_'  # files for inspection, see BadNumbersHook
_NO_CHECKPOINT_TO_RESUME = ('best_', BAD_STEP_PREFIX)


def last_checkpoint(work_dir: Path) -> Path | None:
    """The checkpoint that was saved last, also after its folder has moved; None without one."""
    pointer = work_dir / LAST_CHECKPOINT_FILE
    return work_dir / Path(pointer.read_text(encoding='utf-8').strip()).name \
        if pointer.is_file() else None


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


def newest_complete_checkpoint(work_dir: Path) -> Path | None:
    """The checkpoint to resume from: the last one, or the newest before it that is whole.

    Every byte is read and compared with the check sums in the file. A damaged one is named in the
    log and passed over.

    Args:
        work_dir: Folder of the run; it need not exist.

    Returns:
        None where there is no checkpoint that is whole.
    """
    last = last_checkpoint(work_dir)
    others = [path for path in work_dir.glob('*.pth')
              if not path.name.startswith(_NO_CHECKPOINT_TO_RESUME)]
    others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in dict.fromkeys([last, *others] if last else others):
        if is_complete(path):
            return path
        print_log(f'{path} is missing or damaged: going back to the checkpoint before it',
                  logger='current', level=logging.WARNING)
    return None


def is_complete(path: Path) -> bool:
    """Whether a file is a checkpoint as it was written, by the check sums in it."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except Exception:  # a damaged file can fail in any way: names, flags, offsets
        return False


def write_last_checkpoint(work_dir: Path, checkpoint: Path) -> None:
    """Makes ``last_checkpoint`` of a work dir name a checkpoint, as MMEngine reads it."""
    write_text(work_dir / LAST_CHECKPOINT_FILE, str(checkpoint), durable=True)
