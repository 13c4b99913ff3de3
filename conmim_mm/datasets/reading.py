"""How the stored pixels of an image become grey levels from 0 to 255."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Literal

import numpy as np
from torch.utils.data import Dataset

from ..errors import InputError, UnreadableImageError
from .image_formats.arrays import NPY, NPZ, read_array
from .image_formats.dicom import is_dicom, read_dicom
from .image_formats.pictures import picture_bands
from .image_formats.stored import Range, Stored, check_bands
from .image_formats.tiff import MARKS, is_plain_tiff, read_tiff
from .transforms.loading import (
    MAX_PIXELS,
    NOT_AN_IMAGE,
    read_file,
    read_picture,
    read_rgb,
    reading,
)

WHITE = 255.


@dataclass(frozen=True)
class ImageReading:
    """How the stored pixels of an image become grey levels from 0 to 255.

    The default is 8-bit RGB, as :func:`read_rgb` gives it.

    Args:
        channels: Bands of an image. A file with another number is unreadable, but for grey, which
            becomes three equal ones, and opacity, which is left out where it would be one too many.
        value_range: The stored values that become black and white; those beyond are cut off, and
            what is no finite number, or none by the file's own word, becomes black. ``'dtype'``:
            the whole range of the file's type of integers. None: what the file tells (DICOM), that
            range, or of floats 0 to 255.
        bands_from: ``'channels'``, or ``'pages'`` where each page of a TIFF file, or frame of a
            DICOM file, holds some of the bands.
        view_dtype: ``'uint8'`` to round views to whole levels after they are resized, ``'float32'``
            to leave them.

    Raises:
        InputError: A value that is none of these.
    """

    channels: int = 3
    value_range: Range | Literal['dtype'] | None = None
    bands_from: Literal['channels', 'pages'] = 'channels'
    view_dtype: Literal['uint8', 'float32'] = 'uint8'

    def __post_init__(self) -> None:
        if not isinstance(self.channels, int) or self.channels < 1:
            raise InputError(f'channels must be 1 or more, but is {self.channels!r}')
        for name, choices in dict(bands_from=('channels', 'pages'),
                                  view_dtype=('uint8', 'float32')).items():
            if getattr(self, name) not in choices:
                raise InputError(f'{name} must be one of {", ".join(choices)}, but is '
                                 f'{getattr(self, name)!r}')
        if self.value_range not in (None, 'dtype'):
            object.__setattr__(self, 'value_range', _checked_range(self.value_range))

    @classmethod
    def from_keys(cls, keys: Mapping | None) -> 'ImageReading':
        """From the keys that a config gives it; those that are left out have their defaults.

        Raises:
            InputError: There is no such key, or a value is wrong.
        """
        unknown = {*(keys or {})} - {field.name for field in fields(cls)}
        if unknown:
            raise InputError(f'reading has no key {min(unknown)}; it has '
                             f'{", ".join(field.name for field in fields(cls))}')
        return cls(**(keys or {}))

    def keys(self) -> dict:
        """What a config has to give to have the same; only what is not the default."""
        return {field.name: value for field in fields(self)
                if (value := getattr(self, field.name)) != field.default}

    @property
    def in_words(self) -> str:
        """What images are such, for a message."""
        keys = self.keys()
        return ', '.join(f'{name} {value}' for name, value in keys.items()) or '8-bit RGB'

    @cached_property
    def is_rgb(self) -> bool:
        """Whether it is the default, and so pixels need nothing but :func:`read_rgb`."""
        return self == RGB

    def levels(self, pixels: np.ndarray, stored: Stored | None = None) -> np.ndarray:
        """Stored pixels as grey levels.

        Args:
            pixels: ``(h, w, C)`` of any type.
            stored: The image that they are of.

        Returns:
            ``(h, w, C)`` float32 from 0 to 255; uint8 where that is what they are.

        Raises:
            InputError: As :meth:`range_of`.
        """
        if stored is None and self.is_rgb and pixels.dtype == np.uint8:
            return pixels
        low, high = self.range_of(stored or Stored(pixels))
        is_negative = stored is not None and stored.is_negative
        as_they_are = not is_negative and (stored is None or not stored.missing)
        if pixels.dtype == np.uint8 and (low, high) == (0, WHITE) and as_they_are:
            return pixels if self.view_dtype == 'uint8' else pixels.astype(np.float32)
        # float32 tells 24 bits apart
        values = pixels.astype(np.float64 if pixels.dtype.itemsize > 2 else np.float32)
        black = high if is_negative else low
        if stored is not None and stored.missing is not None:
            values[pixels == stored.missing] = black
        if pixels.dtype.kind == 'f':
            np.nan_to_num(values, copy=False, nan=black, posinf=black, neginf=black)
        values -= low
        values *= WHITE / (high - low)
        values = np.clip(values, 0, WHITE, out=values).astype(np.float32, copy=False)
        return np.subtract(WHITE, values, out=values) if is_negative else values

    def range_of(self, stored: Stored) -> Range:
        """The values of an image that become black and white.

        Raises:
            InputError: Of floats, the range of their type is asked for.
        """
        if isinstance(self.value_range, tuple):
            return self.value_range
        if self.value_range is None:
            return stored.window or stored.range or (0., WHITE)
        if stored.range is None:
            raise InputError('floats have no range of their own: give --value-range LOW HIGH, or '
                             'auto')
        return stored.range

    def view(self, levels: np.ndarray) -> np.ndarray:
        """Resized levels as a view: whole ones uint8, or float32, from 0 to 255."""
        if levels.dtype == np.uint8:
            return levels
        levels = np.clip(levels, 0, WHITE)
        return np.rint(levels).astype(np.uint8) if self.view_dtype == 'uint8' else levels


RGB = ImageReading()


def read_stored(path: str, how: ImageReading, max_pixels: int = MAX_PIXELS,
                data: bytes | None = None) -> Stored:
    """The pixels of an image file in the type that it has them in, in ``how.channels`` bands.

    Args:
        path: The file.
        how: How many bands, and what they are read from.
        max_pixels: As for :func:`read_rgb`.
        data: The file's content, if it is known already.

    Raises:
        UnreadableImageError: As :func:`read_rgb`; or it has another number of bands.
    """
    with reading(path):
        data = read_file(path) if data is None else data
        stored = _read(path, data, how, max_pixels)
        return stored._replace(pixels=_fit_bands(stored, how.channels), path=path)


def read_levels(path: str, how: ImageReading = RGB, max_pixels: int = MAX_PIXELS,
                data: bytes | None = None) -> np.ndarray:
    """A whole image ``(H, W, C)``, uint8 or float32 as ``how.view_dtype`` says.

    Arguments and errors as of :func:`read_stored`.
    """
    with reading(path):
        data = read_file(path) if data is None else data
        if how.is_rgb and not is_array(data):
            try:
                return np.asarray(read_rgb(path, max_pixels, data))
            except UnreadableImageError as error:
                # TIFF files of other depths and bands, which Pillow does not know
                if error.reason != NOT_AN_IMAGE or data[:4] not in MARKS:
                    raise
        stored = read_stored(path, how, max_pixels, data)
        return how.view(how.levels(stored.pixels, stored))


def reading_of(dataset: Dataset) -> ImageReading:
    """How a data set reads its images, by the first transform of its pipeline that has a reading.

    Args:
        dataset: With a ``pipeline``; of any other it is the default.
    """
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    return next((step.reading for step in steps
                 if isinstance(getattr(step, 'reading', None), ImageReading)), RGB)


def is_array(data: bytes) -> bool:
    """Whether a file's content is of a format that Pillow should not be asked for."""
    return data.startswith((NPY, NPZ)) or is_dicom(data)


def _read(path: str, data: bytes, how: ImageReading, max_pixels: int) -> Stored:
    if data.startswith((NPY, NPZ)):
        return read_array(data, how.channels, max_pixels)
    if is_dicom(data):
        return read_dicom(data, how.channels, how.bands_from, max_pixels)
    if data[:4] in MARKS and is_plain_tiff(data, how.bands_from):
        return read_tiff(data, how.channels, how.bands_from, max_pixels)
    return read_picture(path, max_pixels, data, partial(picture_bands, channels=how.channels))


def _fit_bands(stored: Stored, channels: int) -> np.ndarray:
    pixels, found = stored.pixels, stored.pixels.shape[-1]
    check_bands(found, channels, stored.has_alpha, stored.hint)
    if found == channels:
        return pixels
    if stored.has_alpha:
        pixels = pixels[..., :-1]
    return pixels if pixels.shape[-1] == channels else pixels.repeat(channels, axis=-1)


def _checked_range(given: Sequence[float]) -> Range:
    if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != 2 or not all(
            isinstance(number, int | float) for number in given) or not (
            -np.inf < given[0] < given[1] < np.inf):
        raise InputError("value_range must be (low, high) with low below high, 'dtype' or None, "
                         f'but is {given!r}')
    return tuple(given)
