"""Going on with a run: from which checkpoint, and with how many processes."""

import os
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import broadcast_object_list, get_rank, get_world_size

from .engine.resume_checks import RUN_FACTS
from .errors import InputError
from .models.checkpoints import load_checkpoint_file
from .work_dir import newest_complete_checkpoint

# set by torchrun when it starts all processes again after one of them has died
RESTARTS = 'TORCHELASTIC_RESTART_COUNT'


def resume_from_newest(cfg: Config) -> None:
    """Lets a run go on from the newest whole checkpoint in its work dir, or start where none is.

    One process reads and checks it, and tells the others; all of them call this together.
    """
    found = [newest_complete_checkpoint(Path(cfg.work_dir)) if get_rank() == 0 else None]
    broadcast_object_list(found)
    newest = found[0]
    cfg.load_from = str(newest) if newest else None
    cfg.resume = newest is not None


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
