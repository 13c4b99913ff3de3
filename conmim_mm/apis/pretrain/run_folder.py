"""The folder of a run: what is in it already, how far that got, and moving it aside."""

import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ...checkpoint.reading import load_checkpoint_file
from ...checkpoint.settings import SETTINGS
from ...errors import InputError
from ...report.progress import FACTS, read_json
from ...utils.work_dir import LOG_FILES, POINTER, last_checkpoint

CONFIG = 'config.py'
_EPOCH = re.compile(r'epoch_(\d+)\.pth')


def holds_run(out: Path) -> bool:
    """Whether a folder holds a run, be it one that has not saved anything yet."""
    marks = (CONFIG, POINTER, '*.pth', LOG_FILES)
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
    content = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if not content:
        return
    if not holds_run(out):
        more = ', ...' if len(content) > 3 else ''
        raise InputError(f'{out} is not empty ({", ".join(content[:3])}{more}) and holds no run: '
                         'choose another --out')
    if not overwrite:
        raise InputError(f'{out} holds a run ({describe_position(out)}): add --resume to go on, '
                         '--overwrite to start anew (the old one is moved to '
                         f'{out}.earlier-DATE), or choose another --out')


def move_aside(out: Path) -> Path | None:
    """Gives the folder of a run another name, which it says and returns; None without a run."""
    if out.is_dir() and holds_run(out):
        aside = out.with_name(f'{out.name}.earlier-{time.strftime("%Y%m%d-%H%M%S")}')
        out.rename(aside)
        print(f'the earlier run is in {aside} now')
        return aside
    return None


def discard(out: Path, earlier: Path | None) -> None:
    """Takes back what a run that could not begin has written; what can't be removed stays.

    Args:
        out: Its folder, or a link to it, of which the link stays.
        earlier: Where the run before it was moved to, which gets its place back.
    """
    with suppress(OSError):
        for path in out.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        out.rmdir()
    if earlier and not out.exists():
        earlier.rename(out)
        print(f'the earlier run is in {out} again')


def describe_position(out: Path, train_cfg: Mapping | None = None) -> str:
    """How far a run got, such as ``'epoch 12 of 100'``.

    Args:
        out: Its folder.
        train_cfg: How long it is to be; None for what it has noted of that itself, if anything.
    """
    done, unit = position(out)
    if done is None:
        return 'nothing saved yet'
    if train_cfg is None:
        noted = read_json(out, FACTS, {}).get(SETTINGS)
        train_cfg = noted.get('train_cfg') if isinstance(noted, dict) else None
    total = train_cfg.get(f'max_{unit}s') if isinstance(train_cfg, Mapping) else None
    name = dict(epoch='epoch', iter='step')[unit]
    return f'{name} {done} of {total}' if total else f'{name} {done}'


def position(out: Path) -> tuple[int | None, str]:
    """Epochs, or iterations, that a run has done as far as it is saved; and which of the two.

    None where nothing is saved.
    """
    last = last_checkpoint(out)
    if last is None or not last.is_file():
        saved = sorted(out.glob('epoch_*.pth'), key=lambda path: path.stat().st_mtime_ns)
        if not saved:
            return None, 'epoch'
        last = saved[-1]
    if match := _EPOCH.fullmatch(last.name):
        return int(match[1]), 'epoch'
    try:
        meta = load_checkpoint_file(last).get('meta', {})
    except InputError:  # damaged: resuming will go back to the one before
        return None, 'epoch'
    unit = 'iter' if last.name.startswith('iter_') else 'epoch'
    return meta.get(unit), unit
