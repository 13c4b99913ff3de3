"""Checkpoints that are whole or not there, whenever the run is killed."""

import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ..errors import InputError
from ..work_dir import POINTER

OUTDATED = 'outdated_ckpt_ids'


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, but a kill or a full disk at any moment loses nothing.

    MMEngine deletes the oldest checkpoint first and then writes the new one in its place on the
    disk. Here a checkpoint is written aside, flushed to the disk and renamed; then the pointer
    ``last_checkpoint`` moves in the same way, and only then the oldest one goes. So there may be
    one more than ``max_keep_ckpts`` on the disk while one is written. For folders, not for remote
    backends.

    Arguments as in :class:`mmengine.hooks.CheckpointHook`. The best checkpoint, from which nothing
    resumes, is MMEngine's matter still.

    Raises:
        InputError: The checkpoint could not be written, for want of space say.
    """

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        if is_main_process():
            # what a kill before the end of the last saving left
            self._remove(runner.message_hub.runtime_info.get(OUTDATED, []))
            for aside in Path(self.out_dir).glob('*.pth.tmp'):
                aside.unlink()

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = []
        # These numbers are part of the checkpoint, so they change before it is written.
        if self.max_keep_ckpts > 0:
            kept = [*(old for old in self.keep_ckpt_ids if old != step), step]
            outdated, kept = kept[:-self.max_keep_ckpts], kept[-self.max_keep_ckpts:]
            self.keep_ckpt_ids = deque(kept)
            runner.message_hub.update_info('keep_ckpt_ids', kept)
        runner.message_hub.update_info(OUTDATED, outdated)
        path = self._path(step)
        self.last_ckpt = str(path)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)

        aside = path.with_name(f'{path.name}.tmp')
        try:
            runner.save_checkpoint(
                self.out_dir,
                aside.name,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                **self.args)
            if is_main_process():
                put_in_place(aside, path)
                write_pointer(Path(runner.work_dir), path)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise InputError(f'cannot save {path}: {error.strerror or error}; those before '
                             'it are kept, and --resume goes on from the last one') from error
        if is_main_process():
            self._remove(outdated)

    def _remove(self, steps: Iterable[int]) -> None:
        for step in steps:
            self._path(step).unlink(missing_ok=True)

    def _path(self, step: int) -> Path:
        return Path(self.out_dir, self.filename_tmpl.format(step))


def put_in_place(aside: Path, path: Path) -> None:
    """Flushes a file to the disk and renames it, so that ``path`` is the old or the new one."""
    with aside.open('rb') as file:
        os.fsync(file.fileno())
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_pointer(work_dir: Path, checkpoint: Path) -> None:
    """Makes ``last_checkpoint`` of a work dir name a checkpoint, as MMEngine reads it."""
    aside = work_dir / f'{POINTER}.tmp'
    aside.write_text(str(checkpoint))
    put_in_place(aside, work_dir / POINTER)
