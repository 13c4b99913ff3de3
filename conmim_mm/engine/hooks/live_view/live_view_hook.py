"""One line for whoever sits at the terminal: where the run stands, drawn again and again."""

import os
import stat
import sys
import time
from contextlib import ExitStack, suppress
from typing import TextIO

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpretrain.registry import HOOKS
from rich.console import Console
from rich.live import Live

from ...watching import only_watches
from .line import LiveLine
from .terminal import display_below

SMOOTHED = 20  # steps over which the loss is averaged, as in the log


@HOOKS.register_module()
class LiveViewHook(Hook):
    """Shows epoch, step, loss, rates, waiting for data, memory and time left in one line.

    Only the first process draws, and only where it has a terminal; elsewhere there are the log's
    lines and nothing else. At a terminal these go to the log file alone, while warnings and what
    else is said appear above the line. It takes what has been logged already, so it never waits for
    the device.

    Args:
        redraws_per_second: At most, and no more than once a step.
    """

    priority = 'VERY_LOW'  # after all that logs, before StopOnSignalHook may end the run

    def __init__(self, redraws_per_second: float = 4.) -> None:
        self.pause = 1 / redraws_per_second
        self._live: Live | None = None
        self._open = ExitStack()

    @only_watches
    def before_train(self, runner: Runner) -> None:
        stream = terminal() if is_main_process() else None
        self._next_draw = 0.
        if stream is not None:
            console = Console(file=stream, force_terminal=True, highlight=False)
            self._live = Live(console=console, auto_refresh=False, redirect_stdout=False,
                              redirect_stderr=False)

    def after_train_iter(self, runner: Runner, batch_idx: int, **_: object) -> None:
        last = runner.iter + 1 == runner.max_iters
        if self._live is None or (time.monotonic() < self._next_draw and not last):
            return
        self._next_draw = time.monotonic() + self.pause
        try:
            if not self._live.is_started:
                self._open.enter_context(display_below(self._live))
            self._live.update(current_line(runner, batch_idx), refresh=True)
        except Exception as error:  # a picture of the run must not end it
            self._close()
            runner.logger.warning(f'no live view any more: {type(error).__name__}: {error}')

    def after_train(self, runner: Runner) -> None:
        self._close()

    def train_failed(self, runner: Runner) -> None:
        """Called by this project's loops when an exception, Ctrl-C or a signal ends them."""
        if self._live is not None:
            self._live.transient = True  # it may be behind what the last lines say
        self._close()

    def _close(self) -> None:
        self._live = None
        with suppress(Exception):  # the terminal may be gone; the streams are put back all the same
            self._open.close()


def terminal() -> TextIO | None:
    """Where to draw: stderr if it is a terminal; None if not, or if ``| tee`` records the log."""
    if not sys.stderr.isatty() or os.environ.get('TERM') == 'dumb':
        return None
    try:
        piped = stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):  # no file, as in a notebook
        piped = False
    return None if piped else sys.stderr


def current_line(runner: Runner, batch_idx: int) -> LiveLine:
    """What is known at the end of a step.

    Args:
        runner: Its message hub holds the numbers.
        batch_idx: Of the step, in its epoch.
    """
    line = LiveLine(runner.iter + 1, runner.max_iters,
                    seconds_left=runner.message_hub.runtime_info.get('eta'), memory=peak_memory())
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        line.epoch, line.epochs = runner.epoch + 1, runner.max_epochs
        line.epoch_step, line.epoch_steps = batch_idx + 1, len(runner.train_dataloader)
    scalars = runner.message_hub.log_scalars
    if 'train/loss' in scalars:
        line.loss = scalars['train/loss'].mean(SMOOTHED)
    for name in ('lr', 'momentum', 'images_per_second', 'data_wait'):
        if f'train/{name}' in scalars:
            setattr(line, name, scalars[f'train/{name}'].current())
    return line


def peak_memory() -> int:
    """Bytes that this process needed at most: of its GPU if it has one, else of the machine."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    import resource  # not on Windows

    unit = 1 if sys.platform == 'darwin' else 1024  # bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
