"""A metric that process 0 computes from what all of them have."""

from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from mmengine.dist import get_rank, get_world_size
from mmengine.evaluator import BaseMetric

from ...errors import InputError

PATIENCE = timedelta(hours=6)  # the other processes wait while rank 0 fits the linear probe


class GatheredMetric(BaseMetric):
    """Of results that are tuples of tensors, the same number of rows in each.

    Process 0 gets them over the CPU, in a group of their own and in one piece: they may not fit the
    GPU, and pickled as MMEngine does it would take twice the memory.

    Args:
        k: Neighbours.
        prefix: As in MMEngine.

    Raises:
        InputError: ``k`` less than one.
    """

    default_prefix = 'val'

    def __init__(self, k: int = 20, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        if k < 1:
            raise InputError(f'k of {type(self).__name__} must be at least 1, not {k}')
        self.k = k
        self.group: dist.ProcessGroup | None = None

    def evaluate(self, size: int) -> dict[str, float]:
        """The same values in all processes, which call it together after as many images each.

        Raises:
            RuntimeError: In all of them, for what went wrong in process 0.
        """
        results = [torch.cat(parts) for parts in zip(*self.results, strict=True)]
        self.results.clear()
        if get_world_size() > 1 and self.group is None:
            self.group = dist.new_group(backend='gloo', timeout=PATIENCE)
        results = [self._gather(own) for own in results]
        found: list[dict | str | None] = [None]
        if get_rank() == 0:
            try:
                found = [self.compute_metrics(results)]
            except Exception as error:  # the others wait for that, too
                found = [f'{type(error).__name__}: {error}']
        if self.group is not None:
            dist.broadcast_object_list(found, src=0, group=self.group)
        if isinstance(found[0], str):
            raise RuntimeError(found[0])
        return {f'{self.prefix}/{name}': value for name, value in found[0].items()}

    def _gather(self, own: torch.Tensor) -> torch.Tensor | None:
        """Those of all processes, on rank 0."""
        if self.group is None:
            return own
        if get_rank():
            dist.gather(own, group=self.group)
            return None
        whole = own.new_empty(get_world_size() * len(own), *own.shape[1:])
        dist.gather(own, [*whole.split(len(own))], group=self.group)
        return whole


def distinct(numbers: torch.Tensor) -> torch.Tensor:
    """Where each image is that several processes may have, in the order of their numbers.

    A sampler fills up the last batches with the first images.
    """
    return torch.from_numpy(np.unique(numbers.numpy(), return_index=True)[1])
