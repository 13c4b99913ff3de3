"""Fits a pre-training config to images of any channels and depth."""

from dataclasses import replace

from mmengine.config import Config

from ...checkpoint.settings import type_name
from ...datasets.grey_levels import measure_mean_std, measure_range
from ...datasets.reading import ImageReading
from ...datasets.replacing_dataset import ReplacingDataset
from ...errors import InputError
from .recipe import because

_READERS = ('LoadTwoViews', 'LoadImage')


def set_reading(cfg: Config, images: ReplacingDataset, how: ImageReading, value_range: str | None,
                mean_std: str | None) -> tuple[dict[str, str], ImageReading]:
    """Lets a config read images in another way than as 8-bit RGB.

    Args:
        cfg: Changed in place: the reader, the backbone's channels, and the normalisation.
        images: Those to train on.
        how: What is asked for.
        value_range: ``'auto'`` for the percentiles of the images in the place of the range there.
        mean_std: ``'auto'`` or ``'imagenet'``; by default the latter, which are the config's, for
            three channels as they are stored.

    Returns:
        What is worth knowing, by name, and the reading with its range.

    Raises:
        InputError: The config or the images do not fit, or no image can be read.
    """
    readers = [step for step in cfg.train_dataloader.dataset.pipeline
               if type_name(step) in _READERS]
    if not readers:
        raise InputError(f'{cfg.filename} reads its images by none of {", ".join(_READERS)}, so '
                         'only 8-bit RGB')
    lines = {'channels': f'{how.channels}'}
    if value_range == 'auto':
        how = replace(how, value_range=measure_range(images, how))
    if how.value_range:
        lines['value range'] = _describe(how, value_range)
    if mean_std == 'imagenet' and how.channels != 3:
        raise InputError("--mean-std imagenet: ImageNet's are of 3 channels, the images have "
                         f'{how.channels}; leave it out to measure them')
    if mean_std == 'auto' or not mean_std and (how.channels != 3 or how.value_range):
        mean, std = measure_mean_std(images, how)
        cfg.model.data_preprocessor = (cfg.model.get('data_preprocessor') or {}) | dict(
            mean=mean, std=std)
        lines['mean'] = ' '.join(f'{value:.4g}' for value in mean)
        lines['deviation'] = ' '.join(f'{value:.4g}' for value in std)
    for reader in readers:
        reader.reading = how.keys()
    cfg.model.backbone.in_channels = how.channels
    return lines, how


def _describe(how: ImageReading, value_range: str | None) -> str:
    if how.value_range == 'dtype':
        return 'that of the type of integers'
    low, high = how.value_range
    why = 'percentiles 0.5 and 99.5 of the images' if value_range == 'auto' else ''
    return f'{low:g} to {high:g}' + because(why)
