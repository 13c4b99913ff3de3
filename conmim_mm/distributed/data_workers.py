"""Data workers that cannot hand over a batch end, and those that could not do not start.

PyTorch's leave such a batch out, with a traceback, and the training waits for it for ever.
"""

import functools
import logging
import multiprocessing.queues
import os
from collections.abc import Callable

from mmengine.logging import print_log
from torch.utils.data import DataLoader

from ..errors import InputError, one_line

# Open files: those of a worker's pipes and of the tensors that two batches on their way have at
# least, each a file; and what else a training opens.
FILES_PER_WORKER, OTHER_FILES = 16, 64
MAX_OPEN_FILES = 65536  # asked for


def prepare_workers(loader: DataLoader) -> None:
    """To be called before a loader starts its workers.

    Raises:
        InputError: This process may open fewer files than there are workers.
    """
    provide_open_files(loader.num_workers)
    if loader.num_workers:
        loader.worker_init_fn = functools.partial(ending_worker_init, init=loader.worker_init_fn)


def provide_open_files(workers: int) -> None:
    """Raises the limit of open files as far as this process may; for so many data workers.

    Warns where that may be too little.

    Raises:
        InputError: It is less than a file for each worker.
    """
    try:
        import resource
    except ImportError:  # not on Windows
        return
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY not in (limit, most):
        open_now = len(os.listdir('/dev/fd'))
        needed = open_now + OTHER_FILES + FILES_PER_WORKER * workers  # a guess
        if workers and most < needed:
            text = (f'{workers} data workers may need {needed} open files, but this process may '
                    f'have {most}: ulimit -n {needed}, or a smaller train_dataloader.num_workers')
            if most < open_now + workers:
                raise InputError(text)
            print_log(text, logger='current', level=logging.WARNING)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, min(most, MAX_OPEN_FILES)), most))


def ending_worker_init(worker_id: int, init: Callable[[int], None] | None = None) -> None:
    """A ``worker_init_fn`` after which a worker ends where it cannot hand over a batch.

    Args:
        worker_id: The worker's number.
        init: Called afterwards, with it.
    """
    # what multiprocessing calls in the thread that sends; its own prints a traceback and goes on
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(_end)
    if init is not None:
        init(worker_id)


def _end(error: Exception, _batch: object) -> None:
    reason = one_line(error) or type(error).__name__
    os.write(2, f'data worker: cannot hand over a batch: {reason}\n'.encode(errors='replace'))
    os._exit(1)
