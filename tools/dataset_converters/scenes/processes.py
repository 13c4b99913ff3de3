"""Work shared by processes; make_shards.py uses it, too."""

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Job, Result = TypeVar('Job'), TypeVar('Result')


def map_jobs(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """Results in the order of the jobs; of one worker in this process alone."""
    if workers == 1:
        yield from map(work, jobs)
        return
    # Forked workers need not import the package (and with it PyTorch) again.
    context = multiprocessing.get_context('fork' if sys.platform == 'linux' else None)
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        try:
            yield from pool.map(work, jobs)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
