"""Can a folder's images be read, and fast enough?"""

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import cv2
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from ...apis.pretraining.image_reading import with_range
from ...datasets import ImageFiles, SampleIndex
from ...datasets.grey_levels import (
    Looked,
    describe_gaps,
    describe_lost_levels,
    look_at,
    sample_images,
)
from ...datasets.reading import ImageReading, read_levels
from ...engine.hooks.skipped_images_hook import allowed_unreadable
from ...errors import InputError, UnreadableImageError
from ...utils.machine import usable_cores
from ...utils.shipped_files import recipe_file
from .checks import NOTE, OK, PROBLEM, Check

NUM_CHECKED_IMAGES = 200
MAX_VIEWS, SECONDS = 1000, 5.  # of measuring the pipeline
GPU_RATE = 3140  # a ViT-B on an H100, by the cost model in docs/performance.md
LARGE_PIXELS = 8e6
MIN_IMAGES_ADVISED = 500


def check_data(folder: Path, channels: int | None = None, bands_from: str | None = None,
               value_range: tuple[float, float] | str | None = None) -> Iterator[Check]:
    """Number, readability and size of the images, and what one core makes of them in a second.

    Args:
        folder: Of images.
        channels: They and the next two as of :func:`pretrain`; by default those of most images.
        bands_from: The same.
        value_range: The same.
    """
    try:
        dataset = ImageFiles(data_root=str(folder))
    except InputError as error:
        yield Check(PROBLEM, 'images', str(error), 'give a folder that holds images')
        return
    count = len(dataset)
    few = count < MIN_IMAGES_ADVISED
    yield Check(NOTE if few else OK, 'images', f'{count:,} in {folder}',
                'very few to learn from' if few else '')
    if dataset.left_out:
        yield Check(NOTE, 'left out', dataset.left_out,
                    'convert them to JPEG or PNG if they are images; make the folders readable')
    how = ImageReading(channels or 3, None if value_range == 'auto' else value_range,
                       bands_from or 'channels')
    looked_as, looked = how, None if channels else look_at(dataset, how)
    if looked and (found := common_channels(looked)) != how.channels:
        how = replace(how, channels=found)
        yield Check(NOTE, 'channels', f'{found} in most images',
                    f'give conmim pretrain --channels {found}')
    try:
        if value_range or not how.is_rgb:
            how, text = with_range(sample_images(dataset, how), how, value_range)
            yield Check(OK, 'value range', text)
    except InputError as error:
        yield Check(PROBLEM, 'values', str(error), 'see docs/own_images.md')
        return
    if not looked or how != looked_as:
        looked = look_at(dataset, how)
    if lost := describe_lost_levels(looked.levels):  # gaps alone are usual, as at a mosaic's edge
        yield Check(NOTE if lost == describe_gaps(looked.levels) else PROBLEM, 'grey levels',
                    *lost.split(': ', 1))
    step = max(count // NUM_CHECKED_IMAGES, 1)
    chosen = range(0, count, step)[:NUM_CHECKED_IMAGES]
    paths = [dataset.get_data_info(i)['img_path'] for i in chosen]
    yield from check_readable(paths, how)
    yield from check_speed(paths, how)


def common_channels(looked: Looked) -> int:
    """Of most of the images that were read as colours; 3 where they could be."""
    counts = Counter({3: len(looked.levels)})
    counts.update(error.bands for error in looked.errors if error.bands)
    return counts.most_common(1)[0][0]


def check_readable(paths: list[str], how: ImageReading) -> Iterator[Check]:
    """Whether images can be read, and how large they are."""
    sizes, unreadable = [], []
    for path in paths:
        try:
            pixels = read_levels(path, how)
        except UnreadableImageError as error:
            unreadable.append(str(error))
        else:
            sizes.append(pixels.shape[1::-1])
    if unreadable:
        too_many = len(unreadable) > allowed_unreadable(len(paths), 0.01)
        yield Check(PROBLEM if too_many else NOTE, 'readable',
                    f'{len(unreadable)} of {len(paths)} are not: {unreadable[0]}',
                    'a run skips three of them, or 1 %; remove or repair them')
    else:
        yield Check(OK, 'readable', f'all of {len(paths)} looked at')
    if sizes:
        width, height = (round(median(side)) for side in zip(*sizes, strict=True))
        large = width * height > LARGE_PIXELS
        yield Check(NOTE if large else OK, 'size', f'median {width} x {height} pixels',
                    'reading takes most of the time: copies of 500 pixels on the short side are '
                    'enough for views of 224' if large else '')


def check_speed(paths: list[str], how: ImageReading) -> Iterator[Check]:
    """Views per second of one core, and how many cores a GPU would keep busy."""
    cv2.setNumThreads(0)
    init_default_scope('mmpretrain')
    loading, *rest = Config.fromfile(recipe_file('s', 'paper')).train_pipeline
    pipeline = Compose([loading | dict(reading=how.keys()), *rest])
    start = deadline = None
    done = 0
    for number in range(MAX_VIEWS):
        index = number % len(paths)
        try:
            pipeline(dict(img_path=paths[index], sample_idx=SampleIndex(index, epoch=number)))
        except UnreadableImageError:
            continue
        if start is None:  # the first one also fills caches
            start, deadline = time.process_time(), time.perf_counter() + SECONDS
            continue
        done += 1
        if time.perf_counter() > deadline:
            break
    if not done:
        return
    rate = done / max(time.process_time() - start, 1e-9)
    needed, cores = math.ceil(GPU_RATE / rate), usable_cores()
    slow = torch.cuda.is_available() and needed > cores / torch.cuda.device_count()
    yield Check(NOTE if slow else OK, 'data speed', f'{rate:.0f} images/s by one worker; a ViT-B '
                f'on an H100 takes {GPU_RATE:,}, by the cost model in docs/performance.md, which '
                f'is {needed} workers for each such GPU; there are {cores} cores',
                'smaller copies of the images, tar shards or the perturbation on the GPU help: see '
                'docs/performance.md' if slow else '')
