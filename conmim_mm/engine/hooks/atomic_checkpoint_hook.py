"""Checkpoints that are whole or not there, whenever the run is killed, and complete."""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from logging import WARNING
from pathlib import Path

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ...checkpoint.plain_data import plain_data
from ...checkpoint.settings import SETTINGS
from ...distributed.rank_state import gather_rank_states, restore_rank_state
from ...errors import InputError
from ...utils.files import check_place, remove_leftovers, written_whole
from ...utils.work_dir import (
    BEST_PREFIX,
    INTERRUPTED,
    LAST_CHECKPOINT_FILE,
    write_last_checkpoint,
)

KEPT = 'keep_ckpt_ids'  # MMEngine's
OUTDATED = 'outdated_ckpt_ids'
VALIDATED_ITER = 'validated_iter'
RANKS = 'ranks'


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, but a kill or a full disk at any moment loses nothing.

    MMEngine deletes the oldest checkpoint first and then writes the new one in its place on the
    disk. Here a checkpoint is written aside, flushed to the disk and renamed; then the pointer
    ``last_checkpoint`` moves in the same way, and only then the oldest one goes. So there may be
    one more than ``max_keep_ckpts`` on the disk while one is written. The best checkpoint is
    replaced likewise. For folders, not for remote backends.

    Besides MMEngine's contents a checkpoint has the random state of every process and the gradients
    accumulated so far, which are put back on resume, and in its ``meta`` the config as plain data.

    Arguments as in :class:`mmengine.hooks.CheckpointHook`.

    Raises:
        InputError: The checkpoint could not be written, for want of space say.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._rank_states: list[dict] | None = None
        self._loaded_states: list[dict] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self._loaded_states = _as_list(checkpoint.get(RANKS)) if runner._resume else None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint['meta'][SETTINGS] = plain_data(runner.cfg.to_dict())
        if self._rank_states is not None:
            checkpoint[RANKS] = self._rank_states

    def before_train(self, runner: Runner) -> None:
        known = runner.message_hub.runtime_info
        for name in known.keys() & {KEPT, OUTDATED}:  # of which files are deleted
            known[name] = [step for step in _as_list(known[name]) if type(step) is int]
        super().before_train(runner)
        self._forget_foreign_files(known)
        if is_main_process():
            check_place(Path(runner.work_dir, LAST_CHECKPOINT_FILE))
            # what a kill before the end of the last saving left
            self._remove(map(self._path, known.get(OUTDATED, [])))
            remove_leftovers(Path(self.out_dir), '*.pth')
            remove_leftovers(Path(runner.work_dir), LAST_CHECKPOINT_FILE)
        states, self._loaded_states = self._loaded_states, None
        if states and len(states) != runner.world_size:
            print_log(f'the checkpoint has the random states of {len(states)} processes, not of '
                      f'{runner.world_size}: they start anew', logger='current')
        elif states:
            try:
                restore_rank_state(runner, states)
            except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise InputError('the random states in the checkpoint are none: resume from '
                                 f'another one ({type(error).__name__}: {error})') from error

    def _forget_foreign_files(self, known: dict) -> None:
        """Takes only files in its own folder for the best checkpoints so far.

        Their names stand in the checkpoint that is resumed, with the folder that the run had then;
        a copy of the run must not delete those of the original, nor a crafted name anything else.

        Args:
            known: What the run remembers; changed in place.
        """
        step = re.escape(self.filename_tmpl).replace(re.escape('{}'), r'\d+')

        def own(path: object, key: str) -> str | None:
            name = path.rpartition('/')[2] if isinstance(path, str) else ''
            metric = '.+' if key == 'auto' else re.escape(key.replace('/', '_'))
            pattern = f'{BEST_PREFIX}{metric}_{step}'
            return str(Path(self.out_dir, name)) if re.fullmatch(pattern, name) else None

        if self.save_best and len(self.key_indicators) == 1:
            before = self.best_ckpt_path
            self.best_ckpt_path = own(before, self.key_indicators[0])
            if before and not self.best_ckpt_path:  # its score is of another metric
                known.pop('best_score', None)
        elif self.save_best:
            self.best_ckpt_path_dict = {
                key: own(path, key) for key, path in self.best_ckpt_path_dict.items()}

    def save_interrupted(self, runner: Runner, meta: dict) -> Path:
        """Saves where a run stands between two regular checkpoints, the next of which replaces it.

        All processes call it together.

        Args:
            runner: The runner.
            meta: ``epoch`` and ``iter``, both counted as done.

        Returns:
            The file, in the work dir.
        """
        path = Path(self.out_dir, INTERRUPTED)
        self._save(runner, path, meta)
        barrier()
        return path

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        # before the best one is saved, and this state of the run with it
        runner.message_hub.update_info(VALIDATED_ITER, runner.iter)
        super().after_val_epoch(runner, metrics)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best or runner.iter == 0:  # nothing is kept of what is not trained
            return
        # MMEngine deletes the best checkpoint that it knows of before it writes a better one.
        before, self.best_ckpt_path = getattr(self, 'best_ckpt_path', None), None
        before_by_key = dict(getattr(self, 'best_ckpt_path_dict', {}))
        self.best_ckpt_path_dict = dict.fromkeys(before_by_key)
        with saving_aside(runner):
            super()._save_best_checkpoint(runner, metrics)
        replaced = []
        if self.best_ckpt_path is None:
            self.best_ckpt_path = before
        else:
            replaced.append((before, self.best_ckpt_path))
        for key, old in before_by_key.items():
            new = self.best_ckpt_path_dict[key] = self.best_ckpt_path_dict[key] or old
            replaced.append((old, new))
        if is_main_process():
            self._remove(Path(old) for old, new in replaced if old and old != new)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = []
        # These numbers are part of the checkpoint, so they change before it is written.
        if self.max_keep_ckpts > 0:
            kept = [*(old for old in self.keep_ckpt_ids if old != step), step]
            outdated, kept = kept[:-self.max_keep_ckpts], kept[-self.max_keep_ckpts:]
            self.keep_ckpt_ids = deque(kept)
            runner.message_hub.update_info(KEPT, kept)
        runner.message_hub.update_info(OUTDATED, outdated)
        path = self._path(step)
        self.last_ckpt = str(path)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        self._save(runner, path, meta)
        if is_main_process():
            self._remove([*map(self._path, outdated), Path(self.out_dir, INTERRUPTED)])

    def _save(self, runner: Runner, path: Path, meta: dict) -> None:
        self._rank_states = gather_rank_states(runner)
        try:
            with saving_aside(runner):
                runner.save_checkpoint(
                    str(path.parent),
                    path.name,
                    save_optimizer=self.save_optimizer,
                    save_param_scheduler=self.save_param_scheduler,
                    meta=meta,
                    by_epoch=self.by_epoch,
                    **self.args)
            if is_main_process():
                with advising_to_resume():
                    write_last_checkpoint(Path(runner.work_dir), path)
        finally:
            self._rank_states = None

    def _remove(self, paths: Iterable[Path]) -> None:
        for path in paths:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:  # the new one is there: no reason to end the run
                print_log(f'{path} stays, as it cannot be removed: {error.strerror}',
                          logger='current', level=WARNING)

    def _path(self, step: int) -> Path:
        return Path(self.out_dir, self.filename_tmpl.format(step))


def _as_list(value: object) -> list:
    return list(value) if isinstance(value, list | tuple) else []


@contextmanager
def advising_to_resume() -> Iterator[None]:
    """Adds to the line on what could not be written that nothing is lost."""
    try:
        yield
    except InputError as error:
        raise InputError(f'{error}; the checkpoints before it are kept, and --resume goes on from '
                         'the last one') from error


@contextmanager
def saving_aside(runner: Runner) -> Iterator[None]:
    """Inside, what the runner saves is written aside, flushed and renamed.

    MMEngine's hook calls the runner itself for its best checkpoint, so it is the runner that has to
    save differently. May be nested.

    Raises:
        InputError: A checkpoint could not be written.
    """
    if 'save_checkpoint' in vars(runner):
        yield
        return
    save = runner.save_checkpoint

    def save_aside(out_dir: str, filename: str, **kwargs) -> None:
        # the others, with whom a sharded state is brought together, write nothing
        path = Path(out_dir, filename)
        whole = written_whole(path, durable=True) if is_main_process() else nullcontext(path)
        with advising_to_resume(), whole as aside:
            save(out_dir, aside.name, **kwargs)

    runner.save_checkpoint = save_aside
    try:
        yield
    finally:
        del runner.save_checkpoint
