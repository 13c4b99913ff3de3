"""Whether images still have grey levels once they are read as 8 bits."""

import time
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..errors import UnreadableImageError
from ..utils.files import escape_name
from ..utils.sizes import spread_indices
from .replacing_dataset import ReplacingDataset
from .transforms.loading import FORMATS, MAX_PIXELS, read_file, reading
from .transforms.two_views import open_image

CHECKED_IMAGES, SECONDS = 32, 3.
FEW_LEVELS = 64  # 14 bits in a file of 16 have as many
MAX_SHARE = 0.1
_WHITE = dict(I=2**16 - 1, F=2**8 - 1)  # by the first letter of Pillow's mode


class Levels(NamedTuple):
    """What is left of an image's levels.

    Attributes:
        path: The image.
        count: How many different ones there are over all channels.
        stored: Of a file with more than 8 bits a pixel, how it stores them and their range.
        is_clipped: Whether that goes beyond what is read as black and as white.
    """

    path: str
    count: int
    stored: str
    is_clipped: bool


def describe_lost_levels(dataset: ReplacingDataset) -> str:
    """In one line, what has become of the images' levels; empty if nothing has.

    Args:
        dataset: Up to 32 of its images, evenly spread, are read, in up to three seconds.
    """
    deadline, seen = time.monotonic() + SECONDS, []
    for index in spread_indices(len(dataset), CHECKED_IMAGES):
        try:
            seen.append(count_levels(dataset.source(dataset.get_data_info(index))))
        except UnreadableImageError:
            pass  # others tell of these
        if time.monotonic() > deadline:
            break
    poor = [levels for levels in seen if levels.count <= FEW_LEVELS or levels.is_clipped]
    if len(poor) <= MAX_SHARE * len(seen):
        return ''
    first = next((levels for levels in poor if levels.stored), poor[0])
    constant = sum(levels.count == 1 for levels in poor)
    advice = ('of 16 and 32 bits the upper 8 of 16 are read, of floats 0 to 255: convert such '
              'images to 8 bits over the range that they use' if first.stored else
              'there is little to learn from such')
    return (f'{len(poor)} of {len(seen)} images looked at have hardly any grey levels as they are '
            f'read, {constant} of them a single one; {escape_name(first.path)} has {first.count}'
            f'{first.stored}: {advice} (docs/own_images.md)')


def count_levels(sample: dict) -> Levels:
    """Looks at an image.

    Args:
        sample: With its ``img_path``, and ``img_bytes`` where the data set has read it.

    Raises:
        UnreadableImageError: It cannot be read.
    """
    path = sample['img_path']
    with reading(path):
        data = sample.get('img_bytes') or read_file(path)
        image = open_image(path, MAX_PIXELS, data)
        pixels = image.region((0, 0, *image.size), (FEW_LEVELS, FEW_LEVELS))
        count = np.count_nonzero(np.bincount(pixels.ravel(), minlength=256))
        with Image.open(BytesIO(data), formats=FORMATS) as stored:
            white = _WHITE.get(stored.mode[0])
            if white is None:
                return Levels(path, count, '', False)
            values = np.asarray(stored)
        low, high = np.nanmin(values), np.nanmax(values)
        return Levels(path, count, f' (stored as {stored.mode}, {low:g} to {high:g})',
                      bool(low < 0 or high > white))
