"""Fits a pre-training config to images of any channels and depth."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from mmengine.config import Config

from ...checkpoint.settings import type_name
from ...datasets.grey_levels import measure_mean_std, measure_values, sample_images
from ...datasets.image_formats.stored import Stored
from ...datasets.reading import ImageReading
from ...datasets.replacing_dataset import ReplacingDataset
from ...errors import InputError
from ...models.data_preprocessors.conmim_data_preprocessor import IMAGENET_MEAN, IMAGENET_STD
from .recipe import because

READING_OPTIONS = ('channels', 'value_range', 'mean_std', 'bands_from', 'view_dtype', 'show_bands')
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
        how, lines['value range'] = _with_range(samples, how, given.get('value_range'))
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


def _with_range(samples: list[Stored], how: ImageReading, given: object
                ) -> tuple[ImageReading, str]:
    """The reading with its range of values, and that in words."""
    values = measure_values(samples)
    kind, seen = values.first.pixels.dtype, (
        f'percentiles 0.5 and 99.5 of the images: {values.low:g} and {values.high:g}')
    # three channels keep to what has always been done
    is_chosen = given == 'auto' or not (
        how.channels == 3 or how.value_range or values.first.window or kind == np.uint8)
    # of sparse images, such as line scans, both percentiles may be their background
    chosen = (values.low, values.high) if values.low < values.high else (
        values.lowest, values.highest)
    if is_chosen and chosen[0] < chosen[1]:
        how = replace(how, value_range=chosen)
    if values.first.window and not how.value_range:
        return how, 'the window of each file'
    low, high = how.range_of(values.first)
    ends = np.array([[[values.lowest, values.highest]]])
    levels = how.view(replace(how, value_range=(low, high)).levels(ends))
    if levels.min() == levels.max():
        raise InputError(f'--value-range: from {low:g} to {high:g}, all pixels have one grey level '
                         f'({seen}); give a range around these')
    return how, f'{low:g} to {high:g}' + because(
        f'percentiles 0.5 and 99.5 of the images, which are {kind}' if is_chosen else '')


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
