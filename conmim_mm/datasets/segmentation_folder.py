"""Folders of images and maps of labels, as semantic segmentation has them."""

import os
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmpretrain.structures import DataSample
from PIL import Image
from torch.utils.data import Dataset

from ..errors import InputError, UnreadableImageError
from ..utils.sizes import spread_indices, to_size
from .class_folders import parts_of
from .image_files import ImageFiles
from .image_formats.file_search import is_image
from .image_formats.image_size import known_size, opened
from .labelled_folder import HELD_OUT_SHARE
from .reading import RGB, ImageReading, read_levels
from .transforms.resize_to_cover import resize_levels

IMAGES, MAPS = 'images', 'annotations'
MAP_ENDINGS = ('.png', '.tif', '.tiff', '.bmp', '.gif')  # a lossy format changes labels
NO_LABEL = 255
CHECKED_MAPS = 256

Pair = tuple[str, str]  # an image and its map


class SegmentationSplit(NamedTuple):
    """Which images with maps to learn from and which to hold out.

    Attributes:
        train: An image and its map each.
        held_out: Likewise.
        held_out_root: A folder with all of the latter.
    """

    train: list[Pair]
    held_out: list[Pair]
    held_out_root: str


def holds_maps(root: str) -> bool:
    """Whether a folder looks like one of images and maps, by the names in it."""
    return all(os.path.isdir(os.path.join(root, name)) for name in (IMAGES, MAPS))


def segmentation_split(root: str) -> SegmentationSplit:
    """Finds images and their maps, and looks at the headers of 256 evenly spread ones.

    Args:
        root: Holds ``images/train``, ``images/val`` and the same in ``annotations`` (also
            ``training``, ``test`` and the like); or ``images`` and ``annotations`` alone, of which
            every fifth image is then held out. A map has its image's name and another ending.

    Raises:
        InputError: No such folder, no maps in it, an image without a map, a map of another form
            than :func:`check_map_form` wants, or fewer than two images to hold out.
    """
    if not os.path.isdir(root):
        raise InputError(f'no such folder: {root}')
    if not holds_maps(root):
        raise InputError(f'no label maps in {root}: it must hold {IMAGES}/ and {MAPS}/, with '
                         'train/ and val/ in both of them or in neither')
    images, maps = (os.path.join(root, name) for name in (IMAGES, MAPS))
    parts = next(iter(parts_of(images)), None)
    if parts:
        train, held_out = (_pairs(os.path.join(images, part), os.path.join(maps, part))
                           for part in parts)
        images = os.path.join(images, parts[1])
    else:
        pairs = _pairs(images, maps)
        held_out = pairs[HELD_OUT_SHARE - 1::HELD_OUT_SHARE]
        train = [pair for i, pair in enumerate(pairs, start=1) if i % HELD_OUT_SHARE]
    if len(held_out) < 2:
        raise InputError(f'{len(held_out)} of the images in {root} can be held out: give two or '
                         f'more in val/, or {2 * HELD_OUT_SHARE} without parts')
    for part in (train, held_out):
        for i in spread_indices(len(part), CHECKED_MAPS):
            check_map_form(*reversed(part[i]))
    return SegmentationSplit(train, held_out, images)


def _pairs(images: str, maps: str) -> list[Pair]:
    found = {_stem(os.path.join(parent, name), maps): os.path.join(parent, name)
             for parent, _, names in os.walk(maps, followlinks=True) for name in sorted(names)
             if is_image(name, MAP_ENDINGS)}
    pairs = []
    for info in ImageFiles(images, serialize_data=False).data_list:
        stem = _stem(info['img_path'], images)
        if stem not in found:
            raise InputError(f'{info["img_path"]} has no label map: there is no '
                             f'{os.path.join(maps, stem)}.png (or {", ".join(MAP_ENDINGS[1:])})')
        pairs.append((info['img_path'], found[stem]))
    return pairs


def _stem(path: str, folder: str) -> str:
    return os.path.splitext(os.path.relpath(path, folder))[0]


def check_map_form(path: str, image: str) -> None:
    """Looks at the header of a map.

    Args:
        path: Of the map.
        image: Path of its image.

    Raises:
        UnreadableImageError: It is no image, has channels, or another size than its image.
    """
    with opened(path) as labels:
        bands, size = labels.getbands(), labels.size
    if len(bands) > 1:
        raise UnreadableImageError(
            f'the label map {path} has {len(bands)} channels ({"".join(bands)}); a map has one, '
            'whose values are the numbers of the classes')
    if size != (real := known_size(image) or size):
        raise UnreadableImageError(f'the label map {path} is {size[0]} x {size[1]} pixels, its '
                                   f'image {image} {real[0]} x {real[1]}')


def segmentation_datasets(split: SegmentationSplit, size: int | Sequence[int],
                          ignore: Collection[int] = (), reading: ImageReading = RGB
                          ) -> tuple[Dataset, Dataset]:
    """The images with maps to learn from, and those held out.

    Both are squashed to ``size``, so that the whole image counts and all of it alike: an image
    bicubic, its map to the nearest label.

    Args:
        split: As :func:`segmentation_split` finds it.
        size: Pixels: of a square, or ``(height, width)``.
        ignore: Labels that do not count, besides 255.
        reading: How images are read.

    Returns:
        Two data sets with samples of ``inputs`` ``(C, height, width)`` uint8 and
        ``data_samples`` with ``gt_map`` ``(height, width)`` uint8, 255 where there is no label.
    """
    train, held_out = (_ImagesWithMaps(part, to_size(size), ignore, reading)
                       for part in (split.train, split.held_out))
    return train, held_out


class _ImagesWithMaps(Dataset):

    def __init__(self, pairs: list[Pair], size: tuple[int, int], ignore: Collection[int],
                 reading: ImageReading) -> None:
        self.pairs, self.size, self.ignore, self.reading = pairs, size, [*ignore], reading

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict:
        path, map_path = self.pairs[index]
        check_map_form(map_path, path)
        image = resize_levels(read_levels(path, self.reading), self.size)
        with opened(map_path) as labels:
            levels = np.asarray(labels.resize(self.size[::-1], Image.Resampling.NEAREST))
        if levels.max() > NO_LABEL:
            raise UnreadableImageError(f'the label map {map_path} has the label {levels.max()}; '
                                       'the highest is 254, and 255 is no label')
        levels = np.where(np.isin(levels, self.ignore), NO_LABEL, levels).astype(np.uint8)
        pixels = torch.from_numpy(image).permute(2, 0, 1).contiguous()
        return map_sample(pixels, torch.from_numpy(levels))


def map_sample(pixels: torch.Tensor, labels: torch.Tensor) -> dict:
    """A sample as of :func:`segmentation_datasets`."""
    data_sample = DataSample()
    data_sample.set_field(labels, 'gt_map')
    return dict(inputs=pixels, data_samples=data_sample)
