"""The folder of a run: what is in it already, how far that got, and moving it aside."""

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ...checkpoint.reading import read_meta
from ...checkpoint.settings import SETTINGS
from ...errors import InputError
from ...report.progress import FACTS, read_json
from ...utils.work_dir import LAST_CHECKPOINT_FILE, LOG_FILES, last_checkpoint
from ...utils.work_dir_lock import LOCK_FILE

CONFIG = 'config.py'


def holds_run(out: Path) -> bool:
    """Whether a folder holds a run, be it one that has not saved anything yet."""
    marks = (CONFIG, LAST_CHECKPOINT_FILE, '*.pth', LOG_FILES)
    return any(True for mark in marks for _ in out.glob(mark))


def check_folder(out: Path, overwrite: bool) -> None:
    """Makes sure that a new run would take nobody's place.

    Args:
        out: Its folder, which need not exist.
        overwrite: Whether a run in it may be moved aside.

    Raises:
        InputError: There is something in it that must stay.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f'{out} is a file: choose another --out')
    content = sorted({path.name for path in out.iterdir()} - {LOCK_FILE}) if out.is_dir() else []
    if not content:
        return
    if not holds_run(out):
        more = ', ...' if len(content) > 3 else ''
        raise InputError(f'{out} is not empty ({", ".join(content[:3])}{more}) and holds no run: '
                         'choose another --out')
    if not overwrite:
        raise InputError(f'{out} holds a run ({describe_run(out)}): add --resume to go on, '
                         '--overwrite to start anew (the old one is moved to '
                         f'{out}.earlier-DATE), or choose another --out')


def move_aside(out: Path) -> Path | None:
    """Gives the folder of a run, which is locked, another name, which it returns.

    None without a run. The lock is one of the folder's old name no more.
    """
    if out.is_dir() and holds_run(out):
        aside = out.with_name(f'{out.name}.earlier-{time.strftime("%Y%m%d-%H%M%S")}')
        out.rename(aside)
        (aside / LOCK_FILE).unlink(missing_ok=True)
        return aside
    return None


def discard(out: Path, earlier: Path | None) -> bool:
    """Takes back what a run that could not begin has written; what can't be removed stays.

    Args:
        out: Its folder, which is locked, or a link to it, of which the link stays.
        earlier: Where the run before it was moved to, which gets its place back.

    Returns:
        Whether the earlier run is there again.
    """
    with suppress(OSError):
        for path in sorted(out.iterdir(), key=lambda path: path.name == LOCK_FILE):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        out.rmdir()
    if earlier is None or out.exists():
        return False
    earlier.rename(out)
    return True


def describe_progress(meta: dict, checkpoint: Path | None, train_cfg: object) -> tuple[str, bool]:
    """How far a run got, such as ``'epoch 12 of 100'``, and whether that is its end.

    Args:
        meta: Of the checkpoint.
        checkpoint: Its file; None where nothing is saved.
        train_cfg: How long the run is to be, if that is known.
    """
    unit = 'iter' if checkpoint and checkpoint.name.startswith('iter_') else 'epoch'
    done = meta.get(unit)
    if done is None:
        return 'nothing saved yet', False
    total = train_cfg.get(f'max_{unit}s') if isinstance(train_cfg, Mapping) else None
    words = f'{dict(epoch="epoch", iter="step")[unit]} {done}'
    if not isinstance(total, int):
        return words, False
    return f'{words} of {total}', done >= total


def describe_run(out: Path) -> str:
    """How far the run in a folder got, by what was saved last there."""
    last = last_checkpoint(out)
    try:
        meta = read_meta(last) if last else {}
    except InputError:  # damaged: resuming will go back to the one before
        meta = {}
    noted = read_json(out, FACTS, {}).get(SETTINGS)
    train_cfg = noted.get('train_cfg') if isinstance(noted, dict) else None
    return describe_progress(meta, last, train_cfg)[0]
