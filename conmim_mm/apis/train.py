"""Starting a training from its config; what tools/train.py and ``conmim pretrain`` share."""

from pathlib import Path

from mmengine.config import Config
from mmengine.registry import RUNNERS

from ..distributed.agreement import check_configs_agree
from ..distributed.launch import processes
from ..resume import keep_total_batch, resume_from, resume_from_newest, was_restarted
from ..utils.run_config import check_checkpoint

FLOAT32_WRAPPERS = ('OptimWrapper', 'GuardedOptimWrapper', 'mmpretrain.GuardedOptimWrapper')
RESOLVED = 'resolved_config.py'


def use_mixed_precision(cfg: Config) -> None:
    """Lets a config train in bfloat16, if it does not do so already."""
    if cfg.optim_wrapper.get('type', 'OptimWrapper') in FLOAT32_WRAPPERS:
        cfg.optim_wrapper.type = 'mmpretrain.ConMIMAmpOptimWrapper'


def run_training(cfg: Config, resume: str | None = None, elastic: bool = False) -> None:
    """Trains; all processes of the run call this together.

    Args:
        cfg: The config of the run, fit to this machine.
        resume: As for :func:`choose_start`.
        elastic: As for :func:`choose_start`.

    Raises:
        InputError: The config, the data or the checkpoint do not fit each other.
    """
    keep_own_config(cfg)
    with processes(cfg):
        choose_start(cfg, resume, elastic)
        check_configs_agree(cfg)
        # not RUNNERS.build, which writes over what an error says
        RUNNERS.get(cfg.get('runner_type', 'Runner')).from_cfg(cfg).train()


def choose_start(cfg: Config, resume: str | None = None, elastic: bool = False) -> None:
    """Decides what the run starts from; all its processes call this together.

    Args:
        cfg: The config of the run, changed in place.
        resume: A checkpoint to go on from; ``'auto'`` for the newest whole one in the work dir, or
            the start if there is none.
        elastic: Go on with another number of processes and as many images per step.

    Raises:
        InputError: No such checkpoint, or one that does not fit what was asked.
    """
    found = (resume == 'auto' or was_restarted()) and resume_from_newest(cfg)
    if not found and resume not in (None, 'auto'):
        resume_from(cfg, resume)
    elif not found and cfg.get('load_from'):
        check_checkpoint(cfg.load_from)
    if elastic:
        keep_total_batch(cfg)


def keep_own_config(cfg: Config) -> None:
    """Keeps the runner from writing its copy of the config over the file that it was read from.

    MMEngine copies the config, with the checkpoint that it goes on from, into the work dir under
    the file's own name.
    """
    source = Path(cfg.filename) if cfg.filename else None
    if source and source.resolve().parent == Path(cfg.work_dir).resolve():
        object.__setattr__(cfg, '_filename', str(source.with_name(RESOLVED)))
