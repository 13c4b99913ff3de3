"""What frozen patch tokens tell of the class of each pixel: by neighbours, and linearly."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from mmengine.device import get_device

from ..datasets.segmentation_folder import NO_LABEL
from ..errors import InputError
from .features import PatchBatch
from .knn import nearest_neighbours
from .linear_probe import fit_linear_probe
from .mean_iou import NUM_LABELS, MeanIoU, count_pixels

MAX_PATCHES = 1_000_000
MAX_ON_DEVICE = 2**28  # numbers; more come to the device chunk by chunk, each time
QUERIES = 4096  # whose neighbours' labels are looked up at once
MAX_ITER = 100  # of the linear layer

Scores = Callable[[torch.Tensor], torch.Tensor]


class PatchBank(NamedTuple):
    """Patches of known labels, on the CPU.

    Attributes:
        features: ``(N, C)`` float16.
        shares: ``(N, K)`` float16: of the pixels of a patch, those of each class; up to 1 together,
            as pixels without a label are of none.
    """

    features: torch.Tensor
    shares: torch.Tensor

    @property
    def num_classes(self) -> int:
        """That occur."""
        return int((self.shares > 0).any(dim=0).sum())


def patch_bank(batches: Iterable[PatchBatch], num_images: int,
               max_patches: int = MAX_PATCHES) -> PatchBank:
    """Keeps the patches of images that have labels.

    A patch that has pixels of two classes is partly of each: so the labels are neither rounded, nor
    are patches at edges left out, which are most of those of thin things.

    Args:
        batches: Of the images to learn from.
        num_images: At most so many.
        max_patches: Of more patches than this, as many of each image, drawn at random, the same
            ones every time. At half precision a million of 384 numbers and 11 classes take 0.8 GB.

    Raises:
        InputError: All labels are of one class, or there are none.
    """
    features, shares, filled, number = None, [], 0, 0
    for tokens, maps in batches:
        grid = tokens.shape[1:3]
        kept = min(grid.numel(), max(1, max_patches // num_images))
        if features is None:  # all at once: parts to be joined would take twice the memory
            features = torch.empty(num_images * kept, tokens.shape[-1], dtype=torch.float16)
        for own, labels in zip(tokens.flatten(1, 2), maps, strict=True):
            chosen = _drawn(grid.numel(), kept, number).to(own.device)
            own, found = own[chosen], patch_shares(labels, grid)[chosen]
            has_label = found.sum(dim=1) > 0
            last = filled + int(has_label.sum())
            features[filled:last] = own[has_label].half().cpu()
            shares.append(found[has_label].half().cpu())
            filled, number = last, number + 1
    bank = PatchBank(features[:filled], _joined(shares))
    if bank.num_classes < 2:
        labels = ', '.join(map(str, bank.shares.any(dim=0).nonzero().flatten().tolist()))
        raise InputError(f'all pixels of the maps to learn from are of one class ({labels}) or of '
                         'none (255): write the classes as 0, 1, 2, ...')
    return bank


def _drawn(count: int, wanted: int, seed: int) -> torch.Tensor:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[:wanted].sort().values


def _joined(shares: list[torch.Tensor]) -> torch.Tensor:
    """Those of all images, each of which has columns up to its highest label."""
    whole = torch.zeros(sum(map(len, shares)), max(own.shape[1] for own in shares),
                        dtype=torch.float16)
    for own, place in zip(shares, whole.split([len(own) for own in shares]), strict=True):
        place[:, :own.shape[1]] = own
    return whole


def patch_shares(labels: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """How much of each patch is of each class.

    Args:
        labels: ``(H, W)`` uint8, 255 for none.
        grid: Height and width in patches.

    Returns:
        ``(h * w, K)`` float32, K the highest label and 1.
    """
    rows, columns = (torch.arange(pixels, device=labels.device) * patches // pixels
                     for pixels, patches in zip(labels.shape, grid, strict=True))
    patch = rows[:, None] * grid[1] + columns
    num_patches = grid[0] * grid[1]
    counts = torch.bincount((patch * NUM_LABELS + labels).flatten(),
                            minlength=num_patches * NUM_LABELS).view(num_patches, NUM_LABELS)
    occurring = counts[:, :NO_LABEL].any(dim=0).nonzero()
    num_classes = int(occurring.max()) + 1 if len(occurring) else 1
    return counts[:, :num_classes] / counts.sum(dim=1, keepdim=True)


def knn_scores(bank: PatchBank, k: int = 20, temperature: float = 0.07) -> Scores:
    """Retrieval: the shares of the most similar patches, nothing is trained.

    Neighbours weigh exp(cosine similarity / temperature), as in the dense retrieval of
    arXiv 2306.01667 (section 3).

    Args:
        bank: Patches to find.
        k: Neighbours; all of them if there are fewer.
        temperature: Of their weights.

    Returns:
        A function from tokens ``(M, C)`` to scores ``(M, K)``, on their device.
    """
    def scores(tokens: torch.Tensor) -> torch.Tensor:
        shares = bank.shares.to(tokens.device)
        similarity, index = nearest_neighbours(bank.features, tokens, k)
        weights = (similarity / temperature).softmax(dim=1).unsqueeze(1)
        return torch.cat([(own @ shares[found].float()).squeeze(1) for own, found in zip(
            weights.split(QUERIES), index.split(QUERIES), strict=True)])

    return scores


def linear_scores(bank: PatchBank, max_iter: int = MAX_ITER) -> Scores:
    """A linear layer, trained on the patches: cross-entropy with their shares.

    That is the mean over all pixels with a label, each of which has the logits of its patch. The
    weights of standardised tokens have a Gaussian prior of variance 1, a weight decay of 1 / N: on
    CamVid ten times that cost half a point of mIoU, and a hundred times two.

    Args:
        bank: To train on.
        max_iter: As for :func:`fit_linear_probe`.

    Returns:
        As :func:`knn_scores`, of tokens on the device that MMEngine takes.
    """
    device = torch.device(get_device())
    place = device if bank.features.numel() <= MAX_ON_DEVICE else 'cpu'
    return fit_linear_probe(bank.features.to(place), bank.shares.to(place), device,
                            weight_decay=1 / len(bank.shares), max_iter=max_iter).scores


def judge_maps(judges: Mapping[str, Scores], batches: Iterable[PatchBatch]
               ) -> dict[str, MeanIoU]:
    """Predicts the maps of held-out images.

    Args:
        judges: By any name, those of :func:`knn_scores` and :func:`linear_scores`.
        batches: Of the images, which come once; an image without any label does not count.

    Raises:
        InputError: Fewer than two of them have labels.
    """
    found = {name: [] for name in judges}
    for tokens, maps in batches:
        for name, scores in judges.items():
            by_patch = scores(tokens.flatten(0, 2)).unflatten(0, tokens.shape[:3])
            found[name] += [count_pixels(own, labels) for own, labels in zip(
                by_patch, maps, strict=True) if (labels != NO_LABEL).any()]
    if any(len(counts) < 2 for counts in found.values()):
        raise InputError('fewer than two of the images held out can be read and have labels')
    return {name: MeanIoU(*torch.stack(counts).unbind(dim=1)) for name, counts in found.items()}
