"""Frozen features of any folder of images, a batch at a time; bad files are left out."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ..datasets.image_files import ImageFiles
from ..errors import UnreadableImageError


class FeatureBatch(NamedTuple):
    """What :func:`image_features` gives.

    Attributes:
        indices: Of the images in the data set, in its order.
        features: ``(len(indices), C)`` float32.
        unreadable: Index and reason of each image that could not be read.
    """

    indices: list[int]
    features: np.ndarray
    unreadable: list[tuple[int, str]]


@torch.no_grad()
def image_features(backbone: nn.Module, dataset: ImageFiles, preprocessor: nn.Module,
                   batch_size: int = 64, num_workers: int = 2) -> Iterator[FeatureBatch]:
    """Mean-pooled patch tokens, as in :func:`extract_features`.

    Args:
        backbone: A :class:`ConMIMViT` in eval mode.
        dataset: With a pipeline whose samples hold ``inputs`` ``(3, H, W)``.
        preprocessor: Normalises a batch of images; must be on the backbone's device.
        batch_size: Images at once.
        num_workers: Processes that read images.
    """
    loader = DataLoader(_ReadableImages(dataset), batch_size=batch_size, num_workers=num_workers,
                        collate_fn=_collate)
    for indices, images, unreadable in loader:
        features = np.empty((0, backbone.embed_dims), dtype=np.float32)
        if indices:
            tokens = backbone.forward_tokens(preprocessor(dict(inputs=images))['inputs'])
            pooled = backbone.fc_norm(tokens[:, backbone.num_extra_tokens:].mean(dim=1))
            features = pooled.float().cpu().numpy()
        yield FeatureBatch(indices, features, unreadable)


class _ReadableImages(Dataset):

    def __init__(self, dataset: ImageFiles) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor | str]:
        try:
            return index, self.dataset[index]['inputs']
        except UnreadableImageError as error:
            return index, error.reason


def _collate(samples: list[tuple[int, torch.Tensor | str]]
             ) -> tuple[list[int], torch.Tensor | None, list[tuple[int, str]]]:
    read = [(index, image) for index, image in samples if isinstance(image, torch.Tensor)]
    unreadable = [(index, reason) for index, reason in samples if isinstance(reason, str)]
    images = torch.stack([image for _, image in read]) if read else None
    return [index for index, _ in read], images, unreadable
