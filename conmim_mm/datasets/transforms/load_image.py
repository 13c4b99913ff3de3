"""Transforms that read a whole image."""

from collections.abc import Mapping

from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from ...errors import InputError
from ..reading import ImageReading, read_levels
from .loading import MAX_PIXELS


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Reads an image of any bands and depth, upright (see :class:`ImageReading`).

    Required keys:

    - img_path
    - img_bytes (optional): the file's content, where the data set has read it.

    Added keys:

    - img: ``(H, W, C)``, grey levels 0 to 255, uint8 or float32.
    - img_shape, ori_shape: ``(H, W)``.

    Args:
        reading: Keys of an :class:`ImageReading`; by default 8-bit RGB.
        max_pixels: Images of more pixels than this are not decoded but count as unreadable.

    Raises:
        InputError: ``max_pixels`` below 1, or a ``reading`` that is none.
        UnreadableImageError: From :meth:`transform`, as :func:`read_stored`.
    """

    def __init__(self, reading: Mapping | None = None, max_pixels: int = MAX_PIXELS) -> None:
        if max_pixels < 1:
            raise InputError(f'max_pixels must be positive, but is {max_pixels}')
        self.reading = ImageReading.from_keys(reading)
        self.max_pixels = max_pixels

    def transform(self, results: dict) -> dict:
        """Adds ``img``."""
        results['img'] = read_levels(
            results['img_path'], self.reading, self.max_pixels, results.get('img_bytes'))
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadRGBImage(LoadImage):
    """:class:`LoadImage` of 8-bit RGB, whatever the file's format and mode (:func:`read_rgb`).

    Args:
        max_pixels: Images of more pixels than this are not decoded but count as unreadable.
    """

    def __init__(self, max_pixels: int = MAX_PIXELS) -> None:
        super().__init__(max_pixels=max_pixels)
