"""What frozen features are good for, as a metric of a validation."""

from collections.abc import Sequence

import torch
from mmengine.device import get_device
from mmpretrain.registry import METRICS

from ...datasets.labelled_folder import UNREADABLE
from ...errors import InputError
from ..accuracy import evaluate_features
from .gathered import GatheredMetric, distinct

MAX_ON_DEVICE = 2**28  # numbers (1 GiB); more features come to the device chunk by chunk


@METRICS.register_module()
class FrozenFeatureMetric(GatheredMetric):
    """Accuracy of k-NN and of a linear probe on frozen features, in per cent.

    ``val/knn_top1`` and ``val/linear_top1``, learnt from some of the images and measured on the
    ``val/held_out`` others. For :class:`LabelledImages`, and a model whose predictions have
    ``features``. Arguments and errors as in :class:`GatheredMetric`.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keeps features, and the number, label and part of each image."""
        features = torch.stack([sample['features'] for sample in data_samples])
        labels = torch.cat([sample['gt_label'] for sample in data_samples]).tolist()
        facts = [(sample['sample_idx'], label, sample['held_out'])
                 for sample, label in zip(data_samples, labels, strict=True)]
        self.results.append((features.float().cpu(), torch.tensor(facts)))

    def compute_metrics(self, results: Sequence[torch.Tensor]) -> dict[str, float]:
        """The numbers themselves.

        Args:
            results: Features ``(N, C)``, and ``(N, 3)`` int64: number in the data set, label, and
                whether it is held out. Images may come twice and in any order.

        Raises:
            InputError: None of either part can be read.
        """
        features, facts = results
        chosen = distinct(facts[:, 0])
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
