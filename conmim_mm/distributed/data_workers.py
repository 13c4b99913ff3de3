"""Data workers that cannot hand over a batch end, and those that could not do not start.

PyTorch's leave such a batch out, with a traceback, and the training waits for it for ever.
"""

import functools
import multiprocessing.queues
import os
from collections.abc import Callable

from torch.utils.data import DataLoader

from ..errors import InputError

# Open files: those of a worker's pipes and of the tensors that two batches on their way have at
# least, each a file; and what else a training opens.
FILES_PER_WORKER, OTHER_FILES = 16, 64
MAX_OPEN_FILES = 65536  # asked for


def prepare_workers(loader: DataLoader) -> None:
    """To be called before a loader starts its workers.

    Raises:
        InputError: This process may not open as many files as the workers need.
    """
    provide_open_files(loader.num_workers)
    if loader.num_workers:
        loader.worker_init_fn = functools.partial(ending_worker_init, init=loader.worker_init_fn)


def provide_open_files(workers: int) -> None:
    """Raises the limit of open files as far as this process may; for so many data workers.

    Raises:
        InputError: That is too little.
    """
    try:
        import resource
    except ImportError:  # not on Windows
        return
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY not in (limit, most):
        needed = len(os.listdir('/dev/fd')) + OTHER_FILES + FILES_PER_WORKER * workers
        if workers and most < needed:
            raise InputError(f'{workers} data workers need {needed} open files, but this process '
                             f'may have {most}: ulimit -n {needed}, or a smaller '
                             'train_dataloader.num_workers')
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
    reason = ' '.join(str(error).split()) or type(error).__name__
    os.write(2, f'data worker: cannot hand over a batch: {reason}\n'.encode(errors='replace'))
    os._exit(1)
