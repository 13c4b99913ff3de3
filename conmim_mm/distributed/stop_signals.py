"""Signals that ask a run to end, noted now and obeyed at the end of a step."""

import functools
import os
import signal
import threading
import time
from collections.abc import Callable

from torch.utils.data import DataLoader

from ..errors import StoppedBySignal

# a scheduler's or a user's wish, Ctrl-C, and what Slurm sends on --signal=USR1@SECONDS
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
# Within it (seconds) another signal is the same wish: a scheduler signals processes both directly
# and through whatever started them.
REPEAT_SECONDS = 1.


class StopSignals:
    """Notes the first stop signal of this process; another one, a second later, ends it at once.

    Attributes:
        received: Name of the signal, None as long as there was none.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._received_at = 0.
        self._previous: dict = {}

    def install(self) -> None:
        """Takes over the signals. Call it from the main thread."""
        for number in STOP_SIGNALS:
            self._previous[number] = signal.signal(number, self._note)

    def restore(self) -> None:
        """Gives the signals back to whoever had them before."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _note(self, number: int, _frame: object) -> None:
        name = signal.Signals(number).name
        # print() may have been interrupted itself, so this goes to stderr directly
        if self.received is not None:
            if time.monotonic() - self._received_at > REPEAT_SECONDS:
                os.write(2, f'{name}: ending at once\n'.encode())
                os._exit(StoppedBySignal.STATUS)
            return
        self.received, self._received_at = name, time.monotonic()
        # a terminal has just shown ^C, maybe behind a live view's line
        below = '\n' if os.isatty(2) else ''
        os.write(2, f'{below}{name}: ending this step, then saving; once more ends at once\n'
                 .encode())


def shield_workers(loader: DataLoader) -> None:
    """Keeps a stop signal to a whole process group from ending the data workers first.

    Slurm and a terminal's Ctrl-C reach them too, and a step whose worker dies can't be ended. For
    workers that are started after this call.
    """
    if loader.num_workers:
        loader.worker_init_fn = functools.partial(shielded_worker_init, init=loader.worker_init_fn)


def shielded_worker_init(worker_id: int, init: Callable[[int], None] | None = None) -> None:
    """A ``worker_init_fn`` that does in a data worker what :func:`shield_workers` is for.

    Args:
        worker_id: The worker's number.
        init: Called afterwards, with it.
    """
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # Blocked here and so in the thread that takes it, which alone can see who has sent it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=_obey_parent_only, args=[os.getppid()], daemon=True).start()
    if init is not None:
        init(worker_id)


def _obey_parent_only(parent: int) -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
        pass
    os._exit(0)
