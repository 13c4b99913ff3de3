"""Keeps a page about a run up to date."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpretrain.registry import HOOKS
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

from ...distributed.sharded import unwrap_model
from ...errors import InputError, StoppedBySignal, one_line
from ...models.layers.cross_process_bn import CrossProcessBN
from ...utils.inspection import keeping_modes, uncompiled
from ...utils.random_state import keeping_random_state

MAX_TIME_SHARE = 1 / 200  # of the time, for pages and for pictures each: one percent together
NUM_SAMPLES = 4


@HOOKS.register_module()
class ReportHook(Hook):
    """Writes ``report.html`` into the work dir: before the first step, in training, at the end.

    An update waits until ``interval`` seconds and 200 times the time of the last update have
    passed, so that updates take half a percent of the time; the pictures that explain the model
    likewise. Whatever ends the run, an error or a signal too, the last update says so. What the
    page is made of lies in the folder ``report`` of the work dir, and
    :func:`conmim_mm.report.build_report` makes it anew from there.

    Process 0 does all of it, and nothing that it does reaches the model, its mode, the random
    numbers or the log. Where something fails, a line in the log says so once, and training goes on.
    No pictures of the model are made under FSDP or with batch norms over all processes, for which
    other processes would be needed.

    Args:
        interval: Seconds of training between two updates at least.
        picture_interval: Seconds of training between two sets of pictures at least.

    Raises:
        InputError: A negative interval.
    """

    # After the logger, whose numbers it shows, and after the timer, which so counts an update as
    # time of a step and not as waiting for data.
    priority = 'LOW'

    def __init__(self, interval: float = 30., picture_interval: float = 300.) -> None:
        if min(interval, picture_interval) < 0:
            raise InputError('interval and picture_interval of ReportHook must not be negative')
        self.interval = interval
        self.page = TimeBudget(interval)
        self.pictures = TimeBudget(picture_interval)
        self._inputs: dict[str, torch.Tensor] | None = None
        self._started: float | None = None
        self._warned = False

    def before_train(self, runner: Runner) -> None:
        if not is_main_process():
            return
        self._safely(runner, self._note_start)
        self._safely(runner, self._take_samples)
        self._safely(runner, self._update, 'running', runner.iter)
        self._started = time.monotonic()
        self.pictures.wait()

    def before_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        if self._started is None or not self.page.is_due():
            return
        if self.pictures.is_due():
            self._safely(runner, self._explain)
        self._safely(runner, self._update, 'running', runner.iter)

    def after_run(self, runner: Runner) -> None:
        if self._started is None:
            return
        if time.monotonic() - self._started >= self.interval:  # a trial run has no time for it
            self._safely(runner, self._explain)
        self._safely(runner, self._update, 'finished', runner.iter)
        self._started = None

    def train_failed(self, runner: Runner) -> None:
        """Called by this project's loops while they handle what ends them, a signal too."""
        if self._started is None:
            return
        error = sys.exc_info()[1]
        if isinstance(error, StoppedBySignal):  # after a step, which is done
            self._safely(runner, self._update, 'stopped', runner.iter + 1)
        else:
            self._safely(runner, self._update, 'failed', runner.iter, _one_line(error))
        self._started = None

    def _note_start(self, runner: Runner) -> None:
        from ...report.facts import gather_facts
        from ...report.progress import FOLDER, note_start

        folder = Path(runner.work_dir, FOLDER)
        if folder.is_symlink():
            folder.unlink()  # or all would be written to where it leads
        note_start(Path(runner.work_dir), gather_facts(runner), runner.iter)

    def _take_samples(self, runner: Runner) -> None:
        from ...report.samples import sample_inputs, write_samples

        preprocessor = unwrap_model(runner.model).data_preprocessor
        found = sample_inputs(
            runner.train_dataloader.dataset, preprocessor, NUM_SAMPLES, runner.seed)
        if found is not None:
            self._inputs, paths = found
            write_samples(Path(runner.work_dir), self._inputs, paths, preprocessor)

    def _update(self, runner: Runner, state: str, iteration: int, error: str = '') -> None:
        from ...report import build_report
        from ...report.progress import note_progress

        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        work_dir = Path(runner.work_dir)
        with self.page.measured():
            note_progress(work_dir, state, iteration, runner.max_iters,
                          runner.max_epochs if by_epoch else None, error)
            build_report(work_dir)

    def _explain(self, runner: Runner) -> None:
        if self._inputs is None or needs_other_processes(runner.model, runner.world_size):
            return
        from ...report.samples import write_pictures
        from ...visualization.explain import explain_samples

        model = unwrap_model(runner.model)
        with self.pictures.measured(), keeping_random_state(), keeping_modes(model), uncompiled():
            pictures = explain_samples(model, self._inputs, max_images=NUM_SAMPLES)
            write_pictures(Path(runner.work_dir), pictures, runner.iter)

    def _safely(self, runner: Runner, action: Callable, *args: object) -> None:
        try:
            action(runner, *args)
        except Exception as error:
            if not self._warned:
                self._warned = True
                runner.logger.warning(
                    f'the report of this run lacks something ({action.__name__.strip("_")}: '
                    f'{_one_line(error)}); training goes on')


class TimeBudget:
    """Says when something may be done again that must take a small share of the time.

    Args:
        interval: Seconds from the end of one time to the next at least.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._next = 0.

    def wait(self) -> None:
        """Starts an interval."""
        self._next = time.monotonic() + self.interval

    def is_due(self) -> bool:
        """Whether it may be done now."""
        return time.monotonic() >= self._next

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Around doing it."""
        start = time.monotonic()
        try:
            yield
        finally:
            end = time.monotonic()
            self._next = end + max(self.interval, (end - start) / MAX_TIME_SHARE)


def needs_other_processes(model: nn.Module, world_size: int) -> bool:
    """Whether one process alone cannot run a model, or would wait for the others in it."""
    return world_size > 1 and any(
        isinstance(module, FSDP | CrossProcessBN | nn.SyncBatchNorm) for module in model.modules())


def _one_line(error: BaseException) -> str:
    return one_line(f'{type(error).__name__}: {error}').rstrip(':')
