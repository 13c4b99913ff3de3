"""Going on with a run: with its own config, and no option that contradicts it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config

from ...checkpoint.reading import read_meta
from ...engine.hooks.start_checks.run_facts import RUN_FACTS
from ...errors import InputError
from ...utils.files import write_text
from ...utils.run_config import read_config
from ...utils.work_dir import newest_complete_checkpoint
from .plan import STARTED_WITH, PretrainOptions, given_options
from .run_folder import CONFIG, describe_progress, holds_run

_CHANGEABLE = ('epochs', 'gpus')


class Resumption(NamedTuple):
    """How a run goes on.

    Attributes:
        checkpoint: To go on from, found whole; None to start again.
        is_finished: Whether there is nothing left to do.
        processes: That train together.
        mismatch: What may be other than it was, as for :func:`set_mismatch`;
            None if nothing may.
    """

    checkpoint: Path | None
    is_finished: bool
    processes: int = 1
    mismatch: str | None = None


def resumed_run(options: PretrainOptions, say: Callable[[str], object]) -> Resumption:
    """Prepares the run in ``options.out`` to go on.

    Its config stays what it is, but for a larger number of epochs.

    Args:
        options: What is asked for.
        say: Gets what the user should know, a line at a time.

    Raises:
        InputError: There is no such run, or an option contradicts it.
    """
    out = options.out
    if not out.is_dir() or not holds_run(out):
        raise InputError(f'there is no run in {out}: start one without --resume')
    if not (out / CONFIG).is_file():
        raise InputError(f'{out} has no {CONFIG}: go on with the command that started it, such as '
                         f'tools/train.py CONFIG --work-dir {out} --resume')
    cfg = read_config(str(out / CONFIG))
    if STARTED_WITH not in cfg:
        raise InputError(f'{out / CONFIG} is not of conmim pretrain: go on with tools/train.py '
                         f'{out / CONFIG} --work-dir {out} --resume')
    before, now = cfg[STARTED_WITH], given_options(options)
    check_same_options(before, now, out)
    old = cfg.train_cfg.get('max_epochs')
    text = set_epochs(cfg, now['epochs'], out) if now.get('epochs') else None
    saved = newest_complete_checkpoint(out)
    meta = read_meta(saved) if saved else {}
    words, is_finished = describe_progress(meta, saved, cfg.train_cfg)
    if is_finished:
        say(f'the run in {out} is finished ({words}); a larger --epochs makes it longer')
        return Resumption(saved, is_finished=True)
    processes, mismatch = plan_resumption(
        cfg, meta.get(RUN_FACTS, {}), now.get('gpus'), options.allow_mismatch, say)
    if text:
        write_text(out / CONFIG, text, durable=True)
        say(f'{cfg.train_cfg.max_epochs} epochs in place of {old}: learning rate and momentum '
            'follow the curves of the longer run from here on')
    say(f'going on with the run in {out}: {words}')
    return Resumption(saved, False, processes, mismatch)


def plan_resumption(cfg: Config, facts: dict, gpus: int | None, allow_mismatch: bool,
                    say: Callable[[str], object] = lambda line: None
                    ) -> tuple[int, str | None]:
    """Number of processes, and what may be other than it was, as in :class:`Resumption`.

    Args:
        cfg: Of the run.
        facts: Of the run when it was saved, as :func:`run_facts` gives them.
        gpus: Processes; by default as many as at the last saving.
        allow_mismatch: Whether anything may be other than it was.
        say: As for :func:`resumed_run`.

    Raises:
        InputError: There were more GPUs then, and it is not said.
    """
    planned = cfg[STARTED_WITH].get('gpus', 1), cfg.train_dataloader.batch_size
    was = facts.get('world_size', planned[0]), facts.get('batch_size', planned[1])
    there = torch.cuda.device_count()
    if not gpus and there and was[0] > there:
        fitting = next(n for n in range(there, 0, -1) if was[0] * was[1] % n == 0)
        raise InputError(f'the run was saved with {was[0]} processes, but there are {there} '
                         f'GPUs here: go on with --resume --gpus {fitting}')
    processes = gpus or was[0]
    if allow_mismatch:
        return processes, 'allow'
    if processes != was[0]:
        say(f'{processes} process{"es" * (processes > 1)} in place of {was[0]}, and as many '
            'images per step as before')
    # the images of each process are not those of the config if it went on like that before
    moved = (processes, planned[1]) != was and was[0] * was[1] == planned[0] * planned[1]
    return processes, 'rescale' if moved else None


def check_same_options(before: dict, now: dict, out: Path) -> None:
    """Compares the options of a run with those of now; what is not given now is as it was.

    Raises:
        InputError: One of those that cannot change has done so.
    """
    for name, value in now.items():
        if name not in _CHANGEABLE and before.get(name) != value:
            option = f'--{name.replace("_", "-")}'
            was = before.get(name)
            raise InputError(
                f'the run in {out} was started with {option} {_shown(was)}, not {_shown(value)}: '
                f'leave {option} out to go on as it was, or choose another --out for a new run')


def set_epochs(cfg: Config, epochs: int, out: Path) -> str | None:
    """Makes a run longer.

    Returns:
        What its config file must hold then; None for what it holds.

    Raises:
        InputError: It would be shorter than it is, or its length is in iterations.
    """
    old = cfg.train_cfg.get('max_epochs')
    if epochs == old:
        return None
    if old is None:
        raise InputError(f'the run in {out} counts iterations: change them in {out / CONFIG}')
    if epochs < old:
        raise InputError(f'the run in {out} has {old} epochs, and --resume can only make it longer')
    path = out / CONFIG
    # in the text, so that all else stays as it is written there
    text, count = re.subn(rf'\bmax_epochs={old}\b', f'max_epochs={epochs}',
                          path.read_text(encoding='utf-8'))
    if not count:
        raise InputError(f'change max_epochs in {path}, then --resume without --epochs')
    cfg.train_cfg.max_epochs = epochs
    return text


def _shown(value: object) -> str:
    if value is None:
        return 'left out'
    if isinstance(value, dict):
        return ' '.join(f'{key}={one}' for key, one in value.items())
    return ' '.join(map(str, value)) if isinstance(value, list | tuple) else str(value)
