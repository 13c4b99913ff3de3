"""Features that all processes of a run extract together."""

from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from mmengine.dist import get_rank, get_world_size
from torch.utils.data import Dataset, Subset

PATIENCE = timedelta(hours=6)  # the other processes wait while rank 0 fits the linear probe


class SharedExtraction:
    """Each process takes a share of the images; rank 0 gets all features.

    Talks over the CPU, in a group of its own: features may not fit the GPU, and a step's reductions
    need not wait. To be made, and used, by all processes together.
    """

    def __init__(self) -> None:
        self.group = None
        if get_world_size() > 1:
            self.group = dist.new_group(backend='gloo', timeout=PATIENCE)

    def extract(self, dataset: Dataset,
                extract: Callable[[Dataset], tuple[torch.Tensor, torch.Tensor]]
                ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Features and labels of a data set.

        Args:
            dataset: The same in all processes, not empty.
            extract: Gives features ``(N, C)`` and labels ``(N,)`` of a part of it, on the CPU.

        Returns:
            Those of the whole data set in its order, on rank 0; None elsewhere.

        Raises:
            RuntimeError: In all processes, if one of them failed; the message is its reason.
        """
        if self.group is None:
            return extract(dataset)
        size = -(-len(dataset) // get_world_size())
        # the last shares begin anew at the first image, so that all are of one size
        own = [index % len(dataset)
               for index in range(get_rank() * size, (get_rank() + 1) * size)]
        failure, parts = '', None
        try:
            parts = extract(Subset(dataset, own))
            wholes = [self._room_for(part) for part in parts]
        except Exception as error:
            failure = f'{type(error).__name__} in rank {get_rank()}: {error}'
        failures = [None] * get_world_size()
        dist.all_gather_object(failures, failure, self.group)
        if any(failures):
            raise RuntimeError(next(filter(None, failures)))
        for part, whole in zip(parts, wholes, strict=True):
            dist.gather(part, None if get_rank() else [*whole.split(len(part))], group=self.group)
        return None if get_rank() else tuple(whole[:len(dataset)] for whole in wholes)

    @staticmethod
    def _room_for(part: torch.Tensor) -> torch.Tensor | None:
        return None if get_rank() else part.new_empty(
            get_world_size() * len(part), *part.shape[1:])

    def from_rank_0(self, value: object) -> object:
        """What rank 0 has, in all processes."""
        if self.group is None:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, group=self.group)
        return values[0]
