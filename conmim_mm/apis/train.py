"""Starting a training from its config; what tools/train.py and ``conmim pretrain`` share."""

import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import TypeVar
from urllib.parse import urlsplit

from mmengine.config import Config
from mmengine.dist import broadcast_object_list, get_rank, get_world_size

from ..checkpoint.integrity import DamagedCheckpointError
from ..checkpoint.reading import check_checkpoint_file, load_checkpoint_file, read_meta
from ..distributed.agreement import check_configs_agree
from ..distributed.launch import processes
from ..engine.hooks.start_checks.run_facts import RUN_FACTS
from ..errors import InputError, one_line
from ..utils.cli import explain
from ..utils.run_config import check_checkpoint, drop_hooks_switched_off
from ..utils.work_dir import checkpoint_folder, newest_complete_checkpoint
from ..utils.work_dir_lock import locked
from .build_runner import build_runner
from .data_settings import sound_data_settings

RESOLVED_CONFIG = 'resolved_config.py'

T = TypeVar('T')
_STEPS = ('run_iter', 'batches_from')  # functions of training loops
# set by torchrun when it starts all processes again after one of them has died
RESTARTS = 'TORCHELASTIC_RESTART_COUNT'


def run_training(cfg: Config, resume: str | None = None, elastic: bool = False,
                 options: Mapping[str, object] | None = None) -> None:
    """Trains; all processes of the run call this together.

    Args:
        cfg: The config of the run, fit to this machine.
        resume: As for :func:`choose_start`.
        elastic: As for :func:`choose_start`.
        options: What the command line has changed in the config by key.

    Raises:
        InputError: The config, the data or the checkpoint do not fit each other.
    """
    protect_config_file(cfg)
    drop_hooks_switched_off(cfg)
    with processes(cfg), locked_for_all(Path(cfg.work_dir)), sound_data_settings(cfg):
        choose_start(cfg, resume, elastic)
        check_configs_agree(cfg)
        with blaming(options):
            build_runner(cfg).train()


@contextmanager
def blaming(options: Mapping[str, object] | None) -> Iterator[None]:
    """Takes it for the fault of options if a run fails before its first step.

    Args:
        options: Settings that were changed; without any, an error stays as it is.

    Raises:
        InputError: In place of what components raise for values of another kind.
    """
    try:
        yield
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        has_begun = any(frame.f_code.co_name in _STEPS for frame, _ in walk_tb(error.__traceback__))
        if not options or has_begun or explain(error):
            raise
        named = ' '.join(f'{key}={value}' for key, value in options.items())
        reason = one_line(error)[:200]
        raise InputError(f'a run cannot be made of these settings ({type(error).__name__}: '
                         f'{reason}); is one of these of another kind than it must be: '
                         f'{named}') from error


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
    if cfg.get('resume') and not cfg.get('load_from'):
        resume = resume or 'auto'  # which MMEngine would take on trust
        cfg.resume = False
    found = (resume == 'auto' or was_restarted()) and resume_from_newest(cfg)
    if not found and resume not in (None, 'auto'):
        resume_from(cfg, resume)
    elif not found and cfg.get('load_from'):
        check_checkpoint(cfg.load_from)
    if cfg.get('resume'):
        with_schedules = bool(cfg.get('param_scheduler'))
        broadcast_from_main(lambda: check_resumable(cfg.load_from, with_schedules))
    if elastic:
        keep_total_batch(cfg)


def protect_config_file(cfg: Config) -> None:
    """Keeps the runner from writing its copy of the config over the file that it was read from.

    MMEngine copies the config, with the checkpoint that it goes on from, into the work dir under
    the file's own name.
    """
    source = Path(cfg.filename) if cfg.filename else None
    if source and source.resolve().parent == Path(cfg.work_dir).resolve():
        object.__setattr__(cfg, '_filename', str(source.with_name(RESOLVED_CONFIG)))


def resume_from_newest(cfg: Config) -> bool:
    """Lets a run go on from the newest whole checkpoint in its work dir.

    One process reads and checks it, and tells the others; all of them call this together.

    Args:
        cfg: The config of the run, changed in place; left as it is where there is no checkpoint.

    Returns:
        Whether there is one.

    Raises:
        InputError: There are some, and none can be used.
    """
    newest = broadcast_from_main(lambda: newest_complete_checkpoint(
        Path(cfg.work_dir), checkpoint_folder(cfg.work_dir, cfg)))
    if newest is None:
        return False
    cfg.load_from, cfg.resume = str(newest), True
    return True


def resume_from(cfg: Config, path: str) -> None:
    """Lets a run go on from a given checkpoint, once its check sums have been found right.

    Raises:
        InputError: There is no such file, or it is damaged.
    """
    if '://' not in path:
        broadcast_from_main(lambda: check_whole(path))
    cfg.load_from, cfg.resume = path, True


@contextmanager
def locked_for_all(work_dir: Path) -> Iterator[None]:
    """Keeps other runs out of a work dir; all processes of this one call it together.

    Raises:
        InputError: On all of them, if another run is in it.
    """
    with ExitStack() as held:
        broadcast_from_main(lambda: held.enter_context(locked(work_dir)))
        yield


def check_resumable(path: str, with_schedules: bool) -> None:
    """Looks whether a checkpoint has all that a run goes on from, without reading its tensors.

    Args:
        path: The file or address.
        with_schedules: Whether the run has schedules, of the learning rate say.

    Raises:
        InputError: It lacks a part, or has something else in its place.
    """
    if urlsplit(path).scheme not in ('', 'http', 'https'):  # which MMEngine reads
        return
    found = load_checkpoint_file(path, mmap=True)
    meta = found.get('meta', {})
    parts = {'state_dict': dict, 'optimizer': dict, 'message_hub': dict}
    parts |= {'param_schedulers': list | dict} if with_schedules else {}
    lacking = [name for name, kind in parts.items() if not isinstance(found.get(name), kind)]
    lacking += [f'meta.{name}' for name in ('epoch', 'iter')
                if not (isinstance(meta.get(name), int) and meta[name] >= 0)]
    if lacking:
        raise InputError(f'{path} cannot be resumed from: it has no {", no ".join(lacking)}. '
                         'Resume from a regular checkpoint (epoch_*.pth, iter_*.pth), or start '
                         'from these weights with --cfg-options load_from=PATH')


def check_whole(path: str) -> None:
    """Compares a checkpoint that is to be resumed from with its check sums.

    Raises:
        InputError: There is no such file, or it is damaged.
    """
    try:
        check_checkpoint_file(path)
    except DamagedCheckpointError as error:
        raise InputError(f'{error}. Resume from another one, or with --resume alone from the '
                         'newest that is whole') from error


def broadcast_from_main(task: Callable[[], T]) -> T:
    """What the main process finds out, on all of them; all call this together.

    Raises:
        Exception: On all of them, what the task raises; as an InputError where it can't be sent.
    """
    found = [None, None]
    if get_rank() == 0:
        try:
            found[0] = task()
        except Exception as error:  # while the others wait
            found[1] = _sendable(error)
    broadcast_object_list(found)
    if found[1] is not None:
        raise found[1]
    return found[0]


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # of whatever its class does there
        return InputError(str(error))
    return error


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
    facts = read_meta(cfg.load_from).get(RUN_FACTS)
    if not isinstance(facts, dict):
        raise InputError(f'{cfg.load_from} does not tell its batch size: give '
                         'train_dataloader.batch_size and --allow-mismatch in place of --elastic')
    images, processes = facts['world_size'] * facts['batch_size'], get_world_size()
    if images % processes:
        raise InputError(f'{images} images per batch can\'t be divided by {processes} processes: '
                         'resume with another number of them')
    cfg.train_dataloader.batch_size = images // processes
