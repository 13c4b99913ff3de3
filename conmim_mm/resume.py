"""Going on with a run: from which checkpoint, and with how many processes."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mmengine.config import Config
from mmengine.dist import broadcast_object_list, get_rank, get_world_size

from .checkpoint.reading import load_checkpoint_file
from .engine.hooks.start_checks.run_facts import RUN_FACTS
from .errors import InputError
from .utils.run_config import check_checkpoint
from .utils.work_dir import is_complete, newest_complete_checkpoint

T = TypeVar('T')

# set by torchrun when it starts all processes again after one of them has died
RESTARTS = 'TORCHELASTIC_RESTART_COUNT'


def resume_from_newest(cfg: Config) -> bool:
    """Lets a run go on from the newest whole checkpoint in its work dir.

    One process reads and checks it, and tells the others; all of them call this together.

    Args:
        cfg: The config of the run, changed in place; left as it is where there is no checkpoint.

    Returns:
        Whether there is one.
    """
    newest = on_main_process(lambda: newest_complete_checkpoint(Path(cfg.work_dir)))
    if newest is None:
        return False
    cfg.load_from, cfg.resume = str(newest), True
    return True


def resume_from(cfg: Config, path: str) -> None:
    """Lets a run go on from a given checkpoint, once its check sums have been found right.

    Raises:
        InputError: There is no such file, or it is damaged.
    """
    check_checkpoint(path)
    has_sums = '://' not in path and zipfile.is_zipfile(path)  # PyTorch's old format has none
    if has_sums and not on_main_process(lambda: is_complete(Path(path))):
        raise InputError(f'{path} is damaged: what it holds does not fit its check sums. Resume '
                         'from another one, or with --resume alone from the newest that is whole')
    cfg.load_from, cfg.resume = path, True


def on_main_process(task: Callable[[], T]) -> T:
    """What the main process finds out, on all of them; all call this together."""
    found = [task() if get_rank() == 0 else None]
    broadcast_object_list(found)
    return found[0]


def was_restarted() -> bool:
    """Whether torchrun (``--max-restarts``) has started this process again."""
    return int(os.environ.get(RESTARTS, 0)) > 0


def keep_total_batch(cfg: Config) -> None:
    """Fits the batch of each process to their number, so that a step sees as many images as it did.

    Then the schedules, in steps and in epochs, stay what they were. A run that does not resume
    stays as it is.

    Args:
        cfg: The config of the run, changed in place.

    Raises:
        InputError: The images of a step can't be divided by the processes, or the checkpoint does
            not tell how many they were.
    """
    if not cfg.get('resume'):
        return
    facts = load_checkpoint_file(cfg.load_from).get('meta', {}).get(RUN_FACTS)
    if not facts:
        raise InputError(f'{cfg.load_from} does not tell its batch size: give '
                         'train_dataloader.batch_size and --allow-mismatch in place of --elastic')
    images, processes = facts['world_size'] * facts['batch_size'], get_world_size()
    if images % processes:
        raise InputError(f'{images} images per batch can\'t be divided by {processes} processes: '
                         'resume with another number of them')
    cfg.train_dataloader.batch_size = images // processes


def set_mismatch(cfg: Config, mismatch: str) -> None:
    """Sets what :class:`StartChecksHook` does with a checkpoint that does not fit.

    Raises:
        InputError: The config has no such hook.
    """
    hooks = [hook for hook in cfg.get('custom_hooks', []) if 'StartChecksHook' in hook['type']]
    if not hooks:
        raise InputError(f'{cfg.filename} has no StartChecksHook in custom_hooks, so there is '
                         'nothing that would refuse a checkpoint')
    hooks[0].mismatch = mismatch
