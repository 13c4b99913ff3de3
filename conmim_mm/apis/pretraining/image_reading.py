"""Fits a pre-training config to images of any channels and depth."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from mmengine.config import Config

from ...checkpoint.settings import type_name
from ...datasets.grey_levels import (
    FEW_LEVELS,
    measure_mean_std,
    measure_values,
    sample_images,
)
from ...datasets.image_formats.stored import Range, Stored
from ...datasets.reading import WHITE, ImageReading
from ...datasets.replacing_dataset import ReplacingDataset
from ...errors import InputError
from ...models.data_preprocessors.conmim_data_preprocessor import IMAGENET_MEAN, IMAGENET_STD
from .recipe import because

READING_OPTIONS = ('channels', 'value_range', 'mean_std', 'bands_from', 'view_dtype', 'show_bands')
MAX_NAMED = 3  # ranges or types
_READERS = ('LoadTwoViews', 'LoadImage', 'LoadRGBImage')


def set_reading(cfg: Config, images: ReplacingDataset, given: dict
                ) -> tuple[dict[str, str], ImageReading]:
    """Lets a config read images in another way than it does, such as 8-bit RGB.

    Args:
        cfg: Changed in place: the reader, the backbone's channels, and the normalisation. Left as
            it is where nothing is given and the channels fit.
        images: Those to train on.
        given: Of ``READING_OPTIONS``, each as the argument of :func:`pretrain` of that name.

    Returns:
        What is worth knowing, by name, and how images are read now.

    Raises:
        InputError: The config or the images do not fit, or no image can be read.
    """
    if given.get('mean_std', 'auto') not in ('auto', 'imagenet'):
        raise InputError(f"mean_std must be 'auto' or 'imagenet', but is {given['mean_std']!r}")
    readers = find_readers(cfg)
    how = ImageReading.from_keys(readers[0].get('reading') if readers else None)
    channels = given.get('channels') or cfg.model.backbone.get('in_channels', 3)
    if not given and channels == how.channels:
        return {}, how
    if not readers:
        raise InputError(f'{cfg.filename} reads its images by none of {", ".join(_READERS)}, so '
                         'only 8-bit RGB')
    before, lines = how, {'channels': str(channels)}
    how = replace(how, channels=channels, **{
        key: given[key] for key in ('value_range', 'bands_from', 'view_dtype')
        if given.get(key, 'auto') != 'auto'})
    if given.keys() - {'show_bands'} or channels != before.channels:
        samples = sample_images(images, how)
        how, lines['value range'] = with_range(samples, how, given.get('value_range'))
        levels_differ = (how.channels, how.value_range) != (before.channels, before.value_range)
        if given.get('mean_std') or levels_differ:  # else they stay as they are
            lines |= _set_normalisation(cfg, samples, how, given.get('mean_std'))
    if bands := given.get('show_bands'):
        show_bands(cfg, bands)
    put_reading(readers, how)
    if channels != cfg.model.backbone.get('in_channels', 3):
        cfg.model.backbone.in_channels = channels
    return lines, how


def show_bands(cfg: Config, bands: Sequence[int]) -> None:
    """Has pictures show these channels, from 1; a config is changed in place."""
    cfg.model.data_preprocessor.shown_bands = tuple(bands)


def find_readers(cfg: Config) -> list[dict]:
    """The transforms of a config's training pipeline that have a ``reading``, or may get one."""
    return [step for step in cfg.train_dataloader.dataset.pipeline if type_name(step) in _READERS]


def put_reading(readers: list[dict], how: ImageReading) -> None:
    """Lets transforms of :func:`find_readers` read so; they are changed in place."""
    for reader in readers:
        if type_name(reader) == 'LoadRGBImage':
            reader.type = 'mmpretrain.LoadImage'
        reader.reading = how.keys()


def with_range(samples: list[Stored], how: ImageReading, given: object
               ) -> tuple[ImageReading, str]:
    """The reading with its range of values, and that in words.

    Args:
        samples: As of :func:`sample_images`.
        how: What is known of the reading.
        given: The range as it is asked for; ``'auto'`` to measure it, and None to measure it where
            there are other than three channels, unless all have 8 bits or most a window.

    Raises:
        InputError: All pixels have one level, floats have no range of their own, or the images are
            of types that one range does not fit.
    """
    values, kinds = measure_values(samples), {stored.kind: stored for stored in reversed(samples)}
    windows = sum(bool(stored.window) for stored in samples)
    has_windows = windows > len(samples) / 2
    # three channels keep to what has always been done
    is_chosen = given == 'auto' or not (how.channels == 3 or how.value_range or has_windows or all(
        stored.pixels.dtype == np.uint8 for stored in kinds.values()))
    # of sparse images, such as line scans, both percentiles may be their background
    chosen = (values.low, values.high) if values.low < values.high else (
        values.lowest, values.highest)
    if is_chosen and chosen[0] < chosen[1]:
        how = replace(how, value_range=chosen)
        _check_kinds(samples, kinds, chosen)
    if has_windows and not how.value_range:
        others = len(samples) - windows
        return how, 'the window of each file' + because(
            f'{others} of {len(samples)} looked at have none: that of their bits' if others else '')
    ranges = sorted({how.range_of(stored) for stored in samples})
    words = ' or '.join(f'{low:g} to {high:g}' for low, high in ranges[:MAX_NAMED])
    if _is_one_level(samples, how):
        raise InputError(f'--value-range: from {words}, all pixels have one grey level '
                         f'(percentiles 0.5 and 99.5 of the images: {values.low:g} and '
                         f'{values.high:g}); give a range around these')
    if len(ranges) > 1:
        return how, f'that of each file, such as {words}'
    return how, words + because(
        'percentiles 0.5 and 99.5 of the images, which are '
        + (' and '.join(sorted(kinds)) if len(kinds) <= MAX_NAMED else f'of {len(kinds)} types')
        if is_chosen else '')


def _is_one_level(samples: list[Stored], how: ImageReading) -> bool:
    ends = []
    for stored in samples:
        levels = how.view(how.levels(stored.pixels, stored))[stored.known]
        ends += [levels.min(), levels.max()] if levels.size else []
    return len(set(ends)) < 2


def _check_kinds(samples: list[Stored], kinds: dict[str, Stored], chosen: Range) -> None:
    """Refuses kinds of images that one range does not fit, as that of 16 bits leaves 8 no levels.

    It counts what a type of integers can hold, so that dark images are none.
    """
    low, high = chosen
    for kind, first in kinds.items() if len(kinds) > 1 else ():
        lowest, highest = first.range if first.pixels.dtype.kind != 'f' else measure_values(
            [stored for stored in samples if stored.kind == kind])[:2]
        if (min(highest, high) - max(lowest, low)) / (high - low) * WHITE <= FEW_LEVELS:
            other = next(one for one in kinds.values() if one.kind != kind)
            raise InputError(
                f'--value-range auto: from {low:g} to {high:g}, {first.path}, which is {kind}, '
                f'keeps hardly any grey levels, beside {other.path}, which is {other.kind}; give '
                'images of one type, or LOW HIGH, or dtype for the range of each type of integers')


def _set_normalisation(cfg: Config, samples: list[Stored], how: ImageReading, given: str | None
                       ) -> dict[str, str]:
    if not given and how.channels == 3 and not how.value_range:
        return {}
    if given != 'imagenet':
        mean, std = measure_mean_std(samples, how)
    elif how.channels == 3:
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    else:
        raise InputError("--mean-std imagenet: ImageNet's are of 3 channels, the images have "
                         f'{how.channels}; leave it out to measure them')
    cfg.model.data_preprocessor = (cfg.model.get('data_preprocessor') or {}) | dict(
        mean=mean, std=std)
    return {name: ' '.join(f'{value:.4g}' for value in values)
            for name, values in (('mean', mean), ('deviation', std))}
