"""``conmim pretrain --resume``: with the run's own config, and no option that contradicts it."""

import argparse
import re
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from ...checkpoint.reading import load_checkpoint_file
from ...engine.hooks.start_checks.run_facts import RUN_FACTS
from ...errors import InputError
from ...utils.files import write_text
from ...utils.run_config import read_config
from ...utils.work_dir import newest_complete_checkpoint
from .plan import STARTED_WITH, given_options
from .processes import check_gpus_of_before
from .run_folder import CONFIG, describe_position, holds_run, position

_CHANGEABLE = ('epochs', 'gpus')


class Resumption(NamedTuple):
    """How a run goes on.

    Attributes:
        processes: That train together.
        mismatch: What may be other than it was, as for :func:`set_mismatch`;
            None if nothing may.
    """

    processes: int
    mismatch: str | None


def resumed_run(args: argparse.Namespace) -> Resumption | None:
    """Prepares the run in ``args.out`` to go on.

    Its config stays what it is, but for a larger number of epochs.

    Args:
        args: Of ``conmim pretrain``.

    Returns:
        None for a run that is finished.

    Raises:
        InputError: There is no such run, or an option contradicts it.
    """
    out = args.out
    if not out.is_dir() or not holds_run(out):
        raise InputError(f'there is no run in {out}: start one without --resume')
    if not (out / CONFIG).is_file():
        raise InputError(f'{out} has no {CONFIG}: go on with the command that started it, such as '
                         f'tools/train.py CONFIG --work-dir {out} --resume')
    cfg = read_config(str(out / CONFIG))
    if STARTED_WITH not in cfg:
        raise InputError(f'{out / CONFIG} is not of conmim pretrain: go on with tools/train.py '
                         f'{out / CONFIG} --work-dir {out} --resume')
    before, now = cfg[STARTED_WITH], given_options(args)
    check_same_options(before, now, out)
    old = cfg.train_cfg.get('max_epochs')
    text = set_epochs(cfg, now['epochs'], out) if now.get('epochs') else None
    if is_finished(cfg, out):
        print(f'the run in {out} is finished ({describe_position(out, cfg.train_cfg)}); a larger '
              '--epochs makes it longer')
        return None
    how = how_to_go_on(cfg, out, now.get('gpus'), args.allow_mismatch)
    if text:
        write_text(out / CONFIG, text, durable=True)
        print(f'{cfg.train_cfg.max_epochs} epochs in place of {old}: learning rate and momentum '
              'follow the curves of the longer run from here on')
    print(f'going on with the run in {out}: {describe_position(out, cfg.train_cfg)}', flush=True)
    return how


def how_to_go_on(cfg: Config, out: Path, gpus: int | None, allow_mismatch: bool) -> Resumption:
    """With how many processes: as many as at the last saving, if it is not said.

    Raises:
        InputError: There were more GPUs then, and it is not said.
    """
    planned = cfg[STARTED_WITH].get('gpus', 1), cfg.train_dataloader.batch_size
    saved = newest_complete_checkpoint(out)
    facts = load_checkpoint_file(saved).get('meta', {}).get(RUN_FACTS, {}) if saved else {}
    was = facts.get('world_size', planned[0]), facts.get('batch_size', planned[1])
    if not gpus:
        check_gpus_of_before(*was)
    processes = gpus or was[0]
    if allow_mismatch:
        return Resumption(processes, 'allow')
    if processes != was[0]:
        print(f'{processes} process{"es" * (processes > 1)} in place of {was[0]}, and as many '
              'images per step as before', flush=True)
    # the images of each process are not those of the config if it went on like that before
    moved = (processes, planned[1]) != was and was[0] * was[1] == planned[0] * planned[1]
    return Resumption(processes, 'rescale' if moved else None)


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
    text, count = re.subn(rf'\bmax_epochs={old}\b', f'max_epochs={epochs}', path.read_text())
    if not count:
        raise InputError(f'change max_epochs in {path}, then --resume without --epochs')
    cfg.train_cfg.max_epochs = epochs
    return text


def is_finished(cfg: Config, out: Path) -> bool:
    """Whether nothing is left to do."""
    done, unit = position(out)
    total = cfg.train_cfg.get(f'max_{unit}s')
    return done is not None and total is not None and done >= total


def _shown(value: object) -> str:
    if value is None:
        return 'left out'
    return ' '.join(map(str, value)) if isinstance(value, list | tuple) else str(value)
