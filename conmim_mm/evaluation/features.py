"""Frozen features of images, a batch at a time or all together; bad files are left out."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ..datasets.labelled_folder import warn_left_out
from ..errors import InputError, UnreadableImageError
from ..utils.inspection import inspection


class FeatureBatch(NamedTuple):
    """What :func:`image_features` gives.

    Attributes:
        indices: Of the images in the data set, in its order.
        features: ``(len(indices), C)`` float32, on the CPU.
        labels: One for each, of those that have labels.
        unreadable: Index of each image that could not be read, and what says why.
    """

    indices: list[int]
    features: torch.Tensor
    labels: list[int]
    unreadable: list[tuple[int, UnreadableImageError]]


def image_features(backbone: nn.Module, dataset: Dataset, preprocessor: nn.Module,
                   batch_size: int = 64, num_workers: int = 2) -> Iterator[FeatureBatch]:
    """Mean-pooled patch tokens of every image, as a frozen backbone sees it.

    The tokens are normalised before pooling; with ``out_type='avg_featmap'`` after it
    (``fc_norm``), as a fine-tuned classifier's head sees them. No global generator is drawn from.

    Args:
        backbone: A :class:`ConMIMViT`. In eval mode while it runs, and run as it is, not compiled
            anew for these batches.
        dataset: Samples of ``inputs`` ``(3, H, W)`` and ``data_samples``, with a ``gt_label`` or
            without.
        preprocessor: Normalises a batch of images; must be on the backbone's device.
        batch_size: Images at once.
        num_workers: Processes that read images.
    """
    for indices, features, samples, unreadable in _batches(
            backbone, backbone.mean_tokens, dataset, preprocessor, batch_size, num_workers):
        features = torch.empty(0, backbone.embed_dims) if features is None else features.cpu()
        labels = [int(sample.gt_label) for sample in samples if 'gt_label' in sample]
        yield FeatureBatch(indices, features, labels, unreadable)


def extract_features(backbone: nn.Module, dataset: Dataset, preprocessor: nn.Module,
                     batch_size: int = 256, num_workers: int = 2
                     ) -> tuple[torch.Tensor, torch.Tensor]:
    """:func:`image_features` of a labelled data set, all together; arguments as there.

    Returns:
        Features ``(N, C)`` float32 and labels ``(N,)`` int64, on the CPU, in the data set's order.

    Raises:
        InputError: None of the images can be read.
    """
    features, labels, reason = None, [], 'there are none'
    for batch in image_features(backbone, dataset, preprocessor, batch_size, num_workers):
        reason = _warn_of(batch.unreadable) or reason
        if features is None:  # all at once: parts to be joined would take twice the memory
            features = torch.empty(len(dataset), batch.features.shape[1])
        features[len(labels):len(labels) + len(batch.labels)] = batch.features
        labels += batch.labels
    if not labels:
        raise InputError(f'none of the {len(dataset)} images can be read: {reason}')
    return features[:len(labels)], torch.tensor(labels)


class PatchBatch(NamedTuple):
    """What :func:`patch_features` gives, on the device of the backbone.

    Attributes:
        tokens: ``(B, h, w, C)`` float32, h x w the patch grid.
        maps: ``(B, H, W)`` uint8, the label of each pixel, 255 for none.
    """

    tokens: torch.Tensor
    maps: torch.Tensor


def patch_features(backbone: nn.Module, dataset: Dataset, preprocessor: nn.Module,
                   batch_size: int = 64, num_workers: int = 2) -> Iterator[PatchBatch]:
    """Patch tokens of images with maps of labels; arguments as for :func:`image_features`.

    Raises:
        InputError: The backbone has no patch tokens, or none of the images can be read.
    """
    if not hasattr(backbone, 'patch_tokens'):
        raise InputError('--task segmentation needs plain ViTs; a model of another kind has no '
                         'tokens of patches')
    found, reason = False, 'there are none'
    for _, tokens, samples, unreadable in _batches(
            backbone, backbone.patch_tokens, dataset, preprocessor, batch_size, num_workers):
        reason = _warn_of(unreadable) or reason
        if tokens is not None:
            found = True
            maps = torch.stack([sample.gt_map for sample in samples])
            yield PatchBatch(tokens, maps.to(tokens.device))
    if not found:
        raise InputError(f'none of the {len(dataset)} images can be read: {reason}')


def _warn_of(unreadable: list[tuple[int, UnreadableImageError]]) -> UnreadableImageError | None:
    for _, reason in unreadable:
        warn_left_out(reason)
    return unreadable[-1][1] if unreadable else None


def _batches(backbone: nn.Module, see: Callable[[torch.Tensor], torch.Tensor], dataset: Dataset,
             preprocessor: nn.Module, batch_size: int, num_workers: int) -> Iterator[tuple]:
    """Indices, what the backbone sees (float32; None without an image), samples, and unreadable."""
    loader = DataLoader(
        _ReadableImages(dataset), batch_size=batch_size, num_workers=num_workers,
        collate_fn=_collate, generator=torch.Generator())
    for indices, images, samples, unreadable in loader:
        seen = None
        if images is not None:
            with inspection(backbone):
                seen = see(preprocessor(dict(inputs=images))['inputs']).float()
        yield indices, seen, samples, unreadable


class _ReadableImages(Dataset):

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[int, dict | UnreadableImageError]:
        try:
            return index, self.dataset[index]
        except UnreadableImageError as error:
            return index, error


def _collate(samples: list[tuple[int, dict | UnreadableImageError]]) -> tuple:
    unreadable = [(index, error) for index, error in samples if not isinstance(error, dict)]
    read = [(index, sample) for index, sample in samples if isinstance(sample, dict)]
    images = torch.stack([sample['inputs'] for _, sample in read]) if read else None
    return ([index for index, _ in read], images, [sample['data_samples'] for _, sample in read],
            unreadable)
