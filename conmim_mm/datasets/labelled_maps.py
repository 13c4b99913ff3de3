"""Images with maps of labels, to judge patch tokens by while a run trains."""

import os
from collections.abc import Collection, Mapping, Sequence

import torch
from mmpretrain.registry import DATASETS
from torch.utils.data import Dataset

from ..errors import InputError, UnreadableImageError
from ..utils.sizes import spread_indices, to_size
from .labelled_folder import MAX_HELD_OUT, black_image, warn_left_out
from .reading import ImageReading
from .segmentation_folder import NO_LABEL, map_sample, segmentation_datasets, segmentation_split


@DATASETS.register_module()
class LabelledMaps(Dataset):
    """Images with maps of labels to learn from, then others to hold out, the same ones every time.

    Samples as those of :func:`segmentation_datasets`, with ``sample_idx`` and ``held_out`` as meta
    information. One that cannot be read is black and without labels, so that every process of a
    run has as many samples.

    Args:
        data_root: See :func:`segmentation_split`.
        size: As for :func:`segmentation_datasets`.
        max_images: So many at most, of both parts together, evenly spread; None: all.
        ignore: Labels that do not count, besides 255.
        reading: Keys of an :class:`ImageReading`; by default 8-bit RGB.

    Raises:
        InputError: As :func:`segmentation_split`, or fewer than four images wanted.
    """

    metainfo = dict(classes=())
    judging_cost = 3  # of all patches of an image, where that of their mean is 1

    def __init__(self, data_root: str, size: int | Sequence[int], max_images: int | None = None,
                 ignore: Collection[int] = (), reading: Mapping | None = None) -> None:
        if max_images is not None and max_images < 4:
            raise InputError('max_images of LabelledMaps must be at least 4, of which two are held '
                             'out')
        self.data_root, self.size = os.path.expanduser(data_root), to_size(size)
        split = segmentation_split(self.data_root)
        self.held_out_root = split.held_out_root
        self.reading = ImageReading.from_keys(reading)
        self.parts = segmentation_datasets(split, size, ignore, self.reading)
        self.max_images = max_images
        self.draw(max_images or sum(map(len, self.parts)))

    def draw(self, count: int) -> None:
        """Takes so many images at most, evenly spread; about a third is held out."""
        num_held_out = min(len(self.parts[1]), max(2, count // MAX_HELD_OUT))
        self.indices = [(part, i) for part, share in zip(
            self.parts, (count - num_held_out, num_held_out), strict=True)
            for i in spread_indices(len(part), min(share, len(part)))]

    def __len__(self) -> int:
        return len(self.indices)

    def get_data_info(self, index: int) -> dict:
        """``img_path`` and ``seg_map_path`` of a sample."""
        part, own = self.indices[index]
        return dict(zip(('img_path', 'seg_map_path'), part.pairs[own], strict=True))

    def __getitem__(self, index: int) -> dict:
        part, own = self.indices[index]
        try:
            sample = part[own]
        except UnreadableImageError as error:
            warn_left_out(error)
            sample = map_sample(black_image(self.reading, self.size),
                                torch.full(self.size, NO_LABEL, dtype=torch.uint8))
        sample['data_samples'].set_metainfo(
            dict(sample_idx=index, held_out=part is self.parts[1]))
        return sample
