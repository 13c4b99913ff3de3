"""What frozen patch tokens are good for, as a metric of a validation."""

from collections.abc import Iterator, Sequence

import torch
from mmengine.device import get_device
from mmpretrain.registry import METRICS

from ..dense import judge_maps, knn_scores, linear_scores, patch_bank
from ..features import PatchBatch
from .gathered import GatheredMetric, distinct

MAX_PATCHES = 20_000  # to learn from: more say little more, and cost time that training needs
IMAGES = 16  # at once


@METRICS.register_module()
class DenseFeatureMetric(GatheredMetric):
    """Mean IoU of retrieval and of a linear layer on frozen patch tokens, in per cent.

    ``val/dense_knn_miou`` and ``val/dense_linear_miou`` with their standard errors, learnt from
    some of the images and measured on the ``val/held_out`` others. For :class:`LabelledMaps`, and a
    model whose predictions have ``patch_tokens``. Arguments and errors as in
    :class:`GatheredMetric`.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keeps tokens at half precision, maps, and the number and part of each image."""
        self.results.append((
            torch.stack([sample['patch_tokens'] for sample in data_samples]).half().cpu(),
            torch.stack([sample['gt_map'] for sample in data_samples]).cpu(),
            torch.tensor([(sample['sample_idx'], sample['held_out']) for sample in data_samples])))

    def compute_metrics(self, results: Sequence[torch.Tensor]) -> dict[str, float]:
        """The numbers themselves.

        Args:
            results: Tokens ``(N, h, w, C)``, maps ``(N, H, W)``, and ``(N, 2)`` int64: number in
                the data set, and whether it is held out. Images may come twice and in any order.

        Raises:
            InputError: Too few images or classes.
        """
        tokens, maps, facts = results
        chosen = distinct(facts[:, 0])
        held_out = facts[chosen, 1] == 1
        device = get_device()

        def batches(part: torch.Tensor) -> Iterator[PatchBatch]:
            for own in part.split(IMAGES):
                yield PatchBatch(tokens[own].to(device).float(), maps[own].to(device))

        bank = patch_bank(batches(chosen[~held_out]), int((~held_out).sum()), MAX_PATCHES)
        found = judge_maps(dict(knn=knn_scores(bank, self.k), linear=linear_scores(bank)),
                                   batches(chosen[held_out]))
        values = dict(held_out=len(found['knn'].actual))
        for name, result in found.items():
            values |= {f'dense_{name}_miou': 100 * result.value,
                       f'dense_{name}_miou_error': 100 * result.standard_error}
        return values
