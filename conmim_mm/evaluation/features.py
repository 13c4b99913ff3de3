"""Frozen features of a labelled data set."""

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ..utils.inspection import inspection


def extract_features(backbone: nn.Module,
                     dataset: Dataset,
                     preprocessor: nn.Module,
                     batch_size: int = 256,
                     num_workers: int = 2,
                     worker_init_fn: Callable[[int], None] | None = None
                     ) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean-pooled patch tokens of every image, as a frozen backbone sees it.

    The tokens are normalised before pooling; with ``out_type='avg_featmap'`` after it
    (``fc_norm``), as a fine-tuned classifier's head sees them. No global generator is drawn from.

    Args:
        backbone: A :class:`ConMIMViT`. In eval mode for the time, and run as
            it is, not compiled anew for these batches.
        dataset: Samples of ``inputs`` ``(3, H, W)`` and ``data_samples`` with a ``gt_label``, one
            at least.
        preprocessor: Normalises a batch of images; must be on the backbone's device.
        batch_size: Images at once.
        num_workers: Processes that read images.
        worker_init_fn: Called in each of them, as :class:`torch.utils.data.DataLoader` does.

    Returns:
        Features ``(N, C)`` float32 and labels ``(N,)`` int64, on the CPU, in the data set's order.
    """
    loader = DataLoader(
        dataset, batch_size=batch_size, num_workers=num_workers, collate_fn=_collate,
        worker_init_fn=worker_init_fn, generator=torch.Generator())
    features, labels, done = None, torch.empty(len(dataset), dtype=torch.int64), 0
    with inspection(backbone):
        for batch in loader:
            images = preprocessor(dict(inputs=batch['inputs']))['inputs']
            tokens = backbone.forward_tokens(images)
            pooled = backbone.fc_norm(tokens[:, backbone.num_extra_tokens:].mean(dim=1))
            if features is None:  # all at once: parts to be joined would take twice the memory
                features = torch.empty(len(dataset), pooled.shape[1])
            end = done + len(pooled)
            features[done:end], labels[done:end] = pooled, batch['labels']
            done = end
    return features, labels


def _collate(samples: list[dict]) -> dict:
    return dict(
        inputs=torch.stack([sample['inputs'] for sample in samples]),
        labels=torch.cat([sample['data_samples'].gt_label for sample in samples]))
