"""A runner that says in one line what it cannot load, and outlives a log that cannot be written."""

import functools
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..engine.optimizers.auto_scale_lr import scaling_of_a_batch
from ..errors import InputError, one_line


def build_runner(cfg: Config) -> Runner:
    """The runner of a config, MMEngine's or one of its kind.

    Args:
        cfg: Of the run. In the place of its copy in the work dir there may be a link, which goes.

    Raises:
        InputError: Now and when it loads its checkpoint, of which parts are missing or others.
    """
    copy = Path(cfg.work_dir, Path(cfg.filename).name) if cfg.filename else None
    if copy and copy.is_symlink() and is_main_process():
        copy.unlink()  # MMEngine would write through it
    # not RUNNERS.build, which writes over what an error says
    runner = RUNNERS.get(cfg.get('runner_type', 'Runner')).from_cfg(cfg)
    # Not in the config, which is saved and may be trained from again. Of MMEngine's Runner only: a
    # FlexibleRunner does not read it, and FSDP's strategy scales by itself.
    batches = (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    runner.auto_scale_lr = scaling_of_a_batch(cfg.get('auto_scale_lr'), batches)
    runner.load_or_resume = _explaining(runner.load_or_resume, cfg.get('load_from'))
    runner.visualizer.add_scalars = _outliving(runner.visualizer.add_scalars)
    for handler in runner.logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handleError = _say_once
    return runner


def _explaining(load: Callable, checkpoint: str | None) -> Callable:
    @functools.wraps(load)
    def explained() -> None:
        try:
            load()
        except (InputError, OSError, MemoryError, torch.cuda.OutOfMemoryError):
            raise
        except Exception as error:  # of values that are of another kind than a run saves
            reason = one_line(f'{type(error).__name__}: {error}')[:200]
            raise InputError(f'cannot load {checkpoint}: what it holds is not what this run saves '
                             f'({reason})') from error

    return explained


def _outliving(write: Callable) -> Callable:
    """Of what only watches: a full disk, say, does not end the run."""
    @functools.wraps(write)
    def written(*args: object, **kwargs: object) -> None:
        try:
            write(*args, **kwargs)
        except OSError:
            _say_once()

    return written


@functools.cache
def _say_in_one_line(reason: str) -> None:
    print(f'warning: the log of this run lacks something ({reason}); training goes on',
          file=sys.stderr, flush=True)


def _say_once(record: logging.LogRecord | None = None) -> None:
    _say_in_one_line(str(sys.exc_info()[1]))
