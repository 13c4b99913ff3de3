"""Frozen features of a labelled data set."""

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


@torch.no_grad()
def extract_features(backbone: nn.Module,
                     dataset: Dataset,
                     preprocessor: nn.Module,
                     batch_size: int = 256,
                     num_workers: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean-pooled patch tokens of every image, as a frozen backbone sees it.

    The tokens are normalised before pooling; with ``out_type='avg_featmap'`` after it
    (``fc_norm``), as a fine-tuned classifier's head sees them.

    Args:
        backbone: A :class:`~conmim_mm.models.vit.ConMIMViT`. Put into eval mode for the time.
        dataset: Samples of ``inputs`` ``(3, H, W)`` and ``data_samples`` with a ``gt_label``.
        preprocessor: Normalises a batch of images; must be on the backbone's device.
        batch_size: Images at once.
        num_workers: Processes that read images.

    Returns:
        Features ``(N, C)`` float32 and labels ``(N,)`` int64, on the CPU, in the data set's order.
    """
    loader = DataLoader(
        dataset, batch_size=batch_size, num_workers=num_workers, collate_fn=_collate)
    was_training = backbone.training
    backbone.eval()
    features, labels = [], []
    for batch in loader:
        images = preprocessor(dict(inputs=batch['inputs']))['inputs']
        tokens = backbone.forward_tokens(images)
        pooled = backbone.fc_norm(tokens[:, backbone.num_extra_tokens:].mean(dim=1))
        features.append(pooled.float().cpu())
        labels.append(batch['labels'])
    backbone.train(was_training)
    return torch.cat(features), torch.cat(labels)


def _collate(samples: list[dict]) -> dict:
    return dict(
        inputs=torch.stack([sample['inputs'] for sample in samples]),
        labels=torch.cat([sample['data_samples'].gt_label for sample in samples]))
