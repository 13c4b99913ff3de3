"""A folder of labelled images, as frozen features are judged on it."""

from collections.abc import Sequence

from mmpretrain.registry import DATASETS
from torch.utils.data import Dataset

from ..datasets.labelled_folder import LabelledSplit
from ..utils.sizes import to_size


def labelled_datasets(split: LabelledSplit, size: int) -> tuple[Dataset, Dataset]:
    """The images with labels to learn from, and those held out.

    Args:
        split: As :func:`find_labelled_split` finds it.
        size: Pixels: the short edge is resized to it (bicubic), the middle square cut out.

    Returns:
        Two :class:`ImageFiles` with samples of ``inputs``
        ``(3, size, size)`` uint8 and ``data_samples`` with a ``gt_label``, as
        :func:`extract_features` takes them.
    """
    pipeline = evaluation_pipeline(size)
    train, held_out = (
        DATASETS.build(
            dict(type='ImageFiles', with_label=True, metainfo=dict(classes=split.classes),
                 pipeline=pipeline, **part)) for part in (split.train, split.held_out))
    return train, held_out


def evaluation_pipeline(size: int | Sequence[int]) -> list[dict]:
    """How frozen features see an image.

    Args:
        size: As for :func:`labelled_datasets`, or ``(height, width)``: the short edge is resized
            to the larger of the two.
    """
    height, width = to_size(size)
    return [
        dict(type='LoadRGBImage'),
        dict(type='ResizeEdge', scale=max(height, width), edge='short', backend='pillow',
             interpolation='bicubic'),
        dict(type='CenterCrop', crop_size=(width, height)),
        dict(type='PackInputs'),
    ]
