"""What values the images of a folder have, and whether grey levels are left of them."""

import math
import time
from collections import Counter
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ..errors import InputError, UnreadableImageError
from ..utils.files import escape_name
from ..utils.sizes import spread_indices
from .image_formats.stored import Range, Stored
from .reading import ImageReading, is_array, read_stored, reading_of
from .replacing_dataset import ReplacingDataset
from .transforms.loading import MAX_PIXELS, read_file, reading
from .transforms.two_views import LazyJpeg, open_image

CHECKED_IMAGES, SECONDS = 32, 3.
FEW_LEVELS = 64  # 14 bits in a file of 16 have as many
MAX_SHARE = 0.1
MEASURED_IMAGES, MEASURED_PIXELS = 256, 2**12  # of each image
PERCENTILES = 0.5, 99.5
LEAST_STD = 0.01  # grey levels; a channel below that is constant


class Values(NamedTuple):
    """What values images have.

    Attributes:
        low: The 0.5th percentile of the stored values of all channels together.
        high: The 99.5th.
        lowest: Of all values seen.
        highest: The same.
    """

    low: float
    high: float
    lowest: float
    highest: float


def measure_values(samples: list[Stored]) -> Values:
    """The stored values of some images.

    Args:
        samples: As of :func:`sample_images`.
    """
    values = np.concatenate([stored.pixels[stored.known] for stored in samples]).astype(np.float64)
    return Values(*np.percentile(values, (*PERCENTILES, 0, 100)).tolist() if values.size
                  else 4 * [0.])


def measure_mean_std(samples: list[Stored], how: ImageReading
                     ) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, in grey levels.

    A constant channel has the deviation 1.

    Args:
        samples: As of :func:`sample_images`.
        how: Makes the levels.
    """
    sums, squares, count = 0., 0., 0
    for stored in samples:
        levels = how.levels(stored.pixels, stored)
        levels = levels.reshape(-1, how.channels).astype(np.float64)
        sums, squares = sums + levels.sum(axis=0), squares + (levels**2).sum(axis=0)
        count += len(levels)
    mean = sums / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    std = np.where(std < LEAST_STD, 1., std)
    return tuple(mean.round(3).tolist()), tuple(std.round(3).tolist())


def sample_images(dataset: ReplacingDataset, how: ImageReading) -> list[Stored]:
    """Up to 4096 pixels of up to 256 images, both evenly spread, of those that can be read.

    Args:
        dataset: The images.
        how: How many channels, and what they are read from.

    Raises:
        InputError: None can be read, or as :func:`check_channels`.
    """
    errors, samples = [], []
    for index in tqdm(spread_indices(len(dataset), MEASURED_IMAGES), desc='measuring', unit='image',
                      disable=None, leave=False):
        info = dataset.source(dataset.get_data_info(index))
        try:
            stored = read_stored(info['img_path'], how, data=info.get('img_bytes'))
        except UnreadableImageError as error:
            errors.append(error)
        else:
            samples.append(stored._replace(pixels=_some_pixels(stored.pixels)))
    check_channels(errors, len(errors) + len(samples), how.channels)
    if not samples:
        raise InputError(f'none of the images looked at can be read: {errors[0]}')
    return samples


def check_channels(errors: list[UnreadableImageError], seen: int, channels: int) -> None:
    """Refuses images of which most have other channels than are asked for.

    Args:
        errors: Those of the images that cannot be read.
        seen: How many images have been looked at.
        channels: How many are asked for.

    Raises:
        InputError: It names the number that most of them have.
    """
    found = [error for error in errors if error.bands]
    if len(found) > seen / 2:
        usual = Counter(error.bands for error in found).most_common(1)[0][0]
        first = next(error for error in found if error.bands == usual)
        other = '--bands-from pages, or ' * ('--bands-from pages' in str(first))
        raise InputError(f'{len(found)} of {seen} images looked at do not have {channels} '
                         f'channel{"s" * (channels > 1)}: {first}; give {other}--channels {usual}')


def _some_pixels(pixels: np.ndarray) -> np.ndarray:
    step = math.ceil(math.sqrt(pixels.shape[0] * pixels.shape[1] / MEASURED_PIXELS))
    return pixels[::step, ::step].copy()  # or the whole image would stay in memory


class Levels(NamedTuple):
    """What is left of an image's levels.

    Attributes:
        path: The image.
        count: How many different ones there are over all channels.
        stored: How a file that has more of them than that, or not 8 bits, stores them, and their
            range.
        is_lost: Whether it has more of them than that.
        is_clipped: Whether it goes beyond what is read as black and as white, though nobody has
            chosen these.
        has_gaps: Whether there are values that are no finite numbers.
    """

    path: str
    count: int
    stored: str = ''
    is_lost: bool = False
    is_clipped: bool = False
    has_gaps: bool = False


class Looked(NamedTuple):
    """What became of some images' levels.

    Attributes:
        levels: Of those that can be read.
        errors: Of those that cannot.
    """

    levels: list[Levels]
    errors: list[UnreadableImageError]


def look_at(dataset: ReplacingDataset, how: ImageReading | None = None) -> Looked:
    """Reads up to 32 images, evenly spread, in up to three seconds.

    Args:
        dataset: The images.
        how: Makes the levels; by default as its pipeline does.
    """
    how = how or reading_of(dataset)
    deadline, looked = time.monotonic() + SECONDS, Looked([], [])
    for index in spread_indices(len(dataset), CHECKED_IMAGES):
        try:
            looked.levels.append(count_levels(dataset.source(dataset.get_data_info(index)), how))
        except UnreadableImageError as error:
            looked.errors.append(error)
        if time.monotonic() > deadline:
            break
    return looked


def describe_gaps(seen: list[Levels]) -> str:
    """In one line, how many images hold values that are no finite numbers; empty if none does."""
    gaps = sum(levels.has_gaps for levels in seen)
    return (f'{gaps} of {len(seen)} images looked at hold NaN or infinity: that is read as black '
            '(docs/own_images.md)' if gaps else '')


def describe_lost_levels(seen: list[Levels]) -> str:
    """In one line, what has become of the images' levels; empty if nothing has.

    Args:
        seen: As of :func:`look_at`.
    """
    gaps = describe_gaps(seen)
    poor = [levels for levels in seen if levels.count <= FEW_LEVELS or levels.is_clipped]
    if len(poor) <= MAX_SHARE * len(seen):
        return gaps
    lost = [levels for levels in poor if levels.is_lost or levels.is_clipped]
    first = (lost or poor)[0]
    constant = sum(levels.count == 1 for levels in poor)
    advice = ('choose the values that become black and white by --value-range auto, or LOW HIGH '
              'where some are no measurements, such as -9999' if lost
              else 'there is little to learn from such')
    return (f'{len(poor)} of {len(seen)} images looked at have hardly any grey levels as they are '
            f'read, {constant} of them a single one; {escape_name(first.path)} has {first.count}'
            f'{first.stored}: {advice} (docs/own_images.md)' + f'; {gaps}' * bool(gaps))


def count_levels(sample: dict, how: ImageReading) -> Levels:
    """Looks at an image.

    Args:
        sample: With its ``img_path``, and ``img_bytes`` where the data set has read it.
        how: Makes the levels.

    Raises:
        UnreadableImageError: It cannot be read.
    """
    path = sample['img_path']
    with reading(path):
        data = sample.get('img_bytes') or read_file(path)
        image = open_image(path, MAX_PIXELS, data, how)
        levels = image.region((0, 0, *image.size), (FEW_LEVELS, FEW_LEVELS))
        count = np.count_nonzero(np.bincount(np.rint(levels).astype(np.uint8).ravel()))
        if isinstance(image, LazyJpeg):
            return Levels(path, count)
        stored = read_stored(path, how, data=data)
        values = stored.pixels[stored.known]
        low, high = (float(values.min()), float(values.max())) if values.size else 2 * (np.nan, )
        is_lost = count <= FEW_LEVELS and (
            not values.size or len(np.unique(_some_pixels(stored.pixels))) > count)
        described = f' (stored as {stored.pixels.dtype.name}, {low:g} to {high:g})'
        black, white = _black_and_white(stored, how, data)
        return Levels(path, count, described * (is_lost or stored.pixels.dtype != np.uint8),
                      is_lost, low < black or high > white, not np.isfinite(stored.pixels).all())


def _black_and_white(stored: Stored, how: ImageReading, data: bytes) -> Range:
    if how.value_range or stored.window:
        return -math.inf, math.inf
    if how.is_rgb and stored.pixels.dtype.kind != 'f' and not is_array(data):
        return 0, 2**16 - 1  # as read_rgb has it
    return how.range_of(stored)
