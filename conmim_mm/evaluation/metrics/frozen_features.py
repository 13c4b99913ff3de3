"""What frozen features are good for, as a metric of a validation."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from mmengine.device import get_device
from mmengine.dist import get_rank, get_world_size
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS

from ...datasets.labelled_folder import UNREADABLE
from ...errors import InputError
from ..accuracy import evaluate_features

PATIENCE = timedelta(hours=6)  # the other processes wait while rank 0 fits the linear probe
MAX_ON_DEVICE = 2**28  # numbers (1 GiB); more features come to the device chunk by chunk


@METRICS.register_module()
class FrozenFeatureMetric(BaseMetric):
    """Accuracy of k-NN and of a linear probe on frozen features, in per cent.

    ``val/knn_top1`` and ``val/linear_top1``, learnt from some of the images and measured on the
    ``val/held_out`` others. For :class:`LabelledImages`, and a model whose predictions have
    ``features``.

    Process 0 computes. It gets the features over the CPU, in a group of their own and in one piece:
    they may not fit the GPU, and pickled as MMEngine does it would take twice the memory.

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
            raise InputError(f'k of FrozenFeatureMetric must be at least 1, not {k}')
        self.k = k
        self.group: dist.ProcessGroup | None = None

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keeps features, and the number, label and part of each image."""
        features = torch.stack([sample['features'] for sample in data_samples])
        labels = torch.cat([sample['gt_label'] for sample in data_samples]).tolist()
        facts = [(sample['sample_idx'], label, sample['held_out'])
                 for sample, label in zip(data_samples, labels, strict=True)]
        self.results.append((features.float().cpu(), torch.tensor(facts)))

    def evaluate(self, size: int) -> dict[str, float]:
        """The same values in all processes, which call it together after as many images each.

        Raises:
            RuntimeError: In all of them, for what went wrong in process 0.
        """
        features, facts = map(torch.cat, zip(*self.results, strict=True))
        self.results.clear()
        if get_world_size() > 1 and self.group is None:
            self.group = dist.new_group(backend='gloo', timeout=PATIENCE)
        features, facts = self._gather(features), self._gather(facts)
        found: list[dict | str | None] = [None]
        if get_rank() == 0:
            try:
                found = [self.compute_metrics((features, facts))]
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

    def compute_metrics(self, results: tuple[torch.Tensor, torch.Tensor]) -> dict[str, float]:
        """The numbers themselves.

        Args:
            results: Features ``(N, C)``, and ``(N, 3)`` int64: number in the data set, label, and
                whether it is held out. Images may come twice and in any order.

        Raises:
            InputError: None of either part can be read.
        """
        features, facts = results
        # a sampler fills up the last batches with the first images
        chosen = torch.from_numpy(np.unique(facts[:, 0].numpy(), return_index=True)[1])
        chosen = chosen[facts[chosen, 1] != UNREADABLE]
        held_out = facts[chosen, 2] == 1
        device = get_device()
        parts = []
        for name, part, place in (
                ('to learn from', chosen[~held_out],
                 device if features.numel() <= MAX_ON_DEVICE else 'cpu'),
                ('held out', chosen[held_out], device)):
            if not len(part):
                raise InputError(f'none of the images {name} can be read')
            parts.append((features[part].to(place), facts[part, 1].to(place)))
        accuracy = evaluate_features(*parts, self.k)
        return dict(knn_top1=100 * accuracy['knn'].value,
                    linear_top1=100 * accuracy['linear'].value,
                    held_out=accuracy['knn'].num_images)
