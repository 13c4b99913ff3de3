"""The pixels of an image file as they are stored: all bands, in their own type of number."""

from typing import NamedTuple

import numpy as np

from ..transforms.loading import MAX_BYTES, check_pixels

Range = tuple[float, float]
KINDS = 'buif'  # of NumPy's types, those of grey levels


class OtherBands(ValueError):
    """An image has another number of bands than is asked for.

    Args:
        message: What is wrong.
        bands: How many it has.
    """

    def __init__(self, message: str, bands: int) -> None:
        super().__init__(message)
        self.bands = bands


class Stored(NamedTuple):
    """An image as its file has it, upright.

    Attributes:
        pixels: ``(H, W, C)`` of any real type.
        window: The values to show as black and as white, where the file itself tells.
        whole: The lowest and highest value that it could hold, where that is not its type's.
        is_negative: Whether the lowest value is white.
        has_alpha: Whether the last band is opacity.
        missing: The value that stands for none, where the file tells.
        hint: How else it could be read, for messages.
        path: Where it is from.
    """

    pixels: np.ndarray
    window: Range | None = None
    whole: Range | None = None
    is_negative: bool = False
    has_alpha: bool = False
    missing: float | None = None
    hint: str = ''
    path: str = ''

    @property
    def known(self) -> np.ndarray:
        """``(H, W, C)`` bool: which values are finite numbers, and not the missing one."""
        finite = np.isfinite(self.pixels)
        return finite if self.missing is None else finite & (self.pixels != self.missing)

    @property
    def range(self) -> Range | None:
        """The lowest and highest value that it could hold; None where nothing tells."""
        return self.whole or full_range(self.pixels.dtype)

    @property
    def kind(self) -> str:
        """The type of its values, and where they are whole numbers of fewer bits, their range."""
        dtype = self.pixels.dtype
        is_usual = dtype.kind == 'f' or self.range == full_range(dtype)
        return dtype.name if is_usual else '{} from {} to {}'.format(dtype.name, *self.whole)


def check_array(shape: tuple[int, ...], dtype: np.dtype, max_pixels: int, bands: int) -> None:
    """Refuses, by a ValueError, what a header announces if it is too much or no grey levels.

    Args:
        shape: Of the whole array.
        dtype: Of its values.
        max_pixels: Height times width.
        bands: How many of the values are of one pixel.
    """
    if dtype.kind not in KINDS:
        raise ValueError(f'its values are {dtype}, which are no grey levels')
    values = int(np.prod(shape, dtype=object))
    if not values:
        raise ValueError('it has no pixels')
    check_pixels(values // max(bands, 1), max_pixels)
    if values * dtype.itemsize > MAX_BYTES:
        raise ValueError(f'it has {values} values of {dtype}, more than any image that is read')


def full_range(dtype: np.dtype) -> Range | None:
    """The lowest and highest value of an integer type; None for floats."""
    if dtype.kind == 'b':
        return 0, 1
    return None if dtype.kind == 'f' else (np.iinfo(dtype).min, np.iinfo(dtype).max)


def range_of_bits(bits: int, signed: bool = False) -> Range:
    """The lowest and highest whole number of so many bits."""
    return (-2**(bits - 1), 2**(bits - 1) - 1) if signed else (0, 2**bits - 1)


def check_bands(found: int, channels: int, has_alpha: bool = False, hint: str = '') -> None:
    """Refuses, by :class:`OtherBands`, an image that does not have the bands that are asked for.

    Args:
        found: Its bands.
        channels: How many are asked for; three can be made of one.
        has_alpha: Whether the last band is opacity, which can be left out.
        hint: As of :class:`Stored`.
    """
    usable = {found, found - has_alpha}
    if channels not in usable and not (channels == 3 and 1 in usable):
        raise OtherBands(f'it has {found} channel{"s" * (found > 1)}, not {channels}'
                         + f' ({hint})' * bool(hint), found)
