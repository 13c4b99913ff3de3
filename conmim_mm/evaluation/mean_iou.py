"""Mean intersection over union of predicted maps, with its statistical error."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..datasets.segmentation_folder import NO_LABEL

NUM_LABELS = 256  # of a map in bytes


@dataclass(frozen=True)
class MeanIoU:
    """Mean IoU of the classes that occur in the maps of a held-out set.

    Attributes:
        intersections: ``(I, 256)`` int64: pixels of each class in each image that were found.
        predicted: ``(I, 256)``: pixels that were said to be of it.
        actual: ``(I, 256)``: pixels that are of it.
    """

    intersections: torch.Tensor
    predicted: torch.Tensor
    actual: torch.Tensor

    @property
    def by_class(self) -> dict[int, float]:
        """IoU of each class that occurs, over the pixels of all images."""
        ratios = _ratios(*(counts.sum(dim=0) for counts in self._counts))
        return {label: value for label, value in enumerate(ratios.tolist()) if value == value}

    @property
    def value(self) -> float:
        """Their mean, between 0 and 1."""
        return _ratios(*(counts.sum(dim=0) for counts in self._counts)).nanmean().item()

    @property
    def leave_one_out(self) -> torch.Tensor:
        """``(I,)``: the mean IoU of all images but each, for :func:`jackknife_error`."""
        return _ratios(*(counts.sum(dim=0) - counts for counts in self._counts)).nanmean(dim=1)

    @property
    def standard_error(self) -> float:
        """Standard error of the mean IoU over sets of as many images."""
        return jackknife_error(self.leave_one_out)

    @property
    def _counts(self) -> tuple[torch.Tensor, ...]:
        return self.intersections, self.predicted, self.actual


def jackknife_error(leave_one_out: torch.Tensor) -> float:
    """Standard error of a number that is computed from all images together.

    Pixels of an image are alike, so images and not pixels are what was drawn. Of the difference of
    two backbones on the same images, a paired one: give the difference of their values.

    Args:
        leave_one_out: ``(I,)``, the number without each of the images.

    Source: Efron and Stein, The jackknife estimate of variance (Annals of Statistics 9, 1981).
    """
    squares = (leave_one_out - leave_one_out.mean()).square()
    return ((len(squares) - 1) * squares.mean()).sqrt().item()


def _ratios(intersections: torch.Tensor, predicted: torch.Tensor,
            actual: torch.Tensor) -> torch.Tensor:
    """IoU; NaN of a class that does not occur, which may be predicted all the same.

    Its pixels are missing in the class that they are of.
    """
    ratios = intersections.double() / (predicted + actual - intersections)
    return torch.where(actual > 0, ratios, torch.nan)


def count_pixels(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Counts of one image for :class:`MeanIoU`.

    Args:
        scores: ``(h, w, K)``, of each class in each patch; bilinear to the size of the map.
        labels: ``(H, W)`` uint8, 255 for pixels that do not count.

    Returns:
        ``(3, 256)`` int64: found, predicted and actual pixels of each class.
    """
    found = F.interpolate(scores.permute(2, 0, 1).unsqueeze(0), labels.shape, mode='bilinear')
    counts = labels != NO_LABEL
    predicted, actual = found[0].argmax(dim=0)[counts], labels[counts].long()
    return torch.stack([torch.bincount(values, minlength=NUM_LABELS) for values in (
        actual[predicted == actual], predicted, actual)]).cpu()
