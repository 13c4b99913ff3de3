"""An image as small as it can be where a centre crop is to fill a size, oblong or square."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from ...utils.sizes import to_size
from .two_views import resize_bicubic


@TRANSFORMS.register_module()
class ResizeToCover(BaseTransform):
    """Resizes an image in its own proportions (bicubic), so that it just covers a size.

    mmpretrain's ``ResizeEdge`` knows edges alone; of a square size it makes the same by Pillow.

    Required keys:

    - img: ``(H, W, C)`` uint8, or float32 in grey levels 0 to 255.

    Modified keys: img, img_shape.

    Args:
        size: Height and width to cover, in pixels; an int for a square.

    Raises:
        InputError: ``size`` is no size.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = to_size(size)

    def transform(self, results: dict) -> dict:
        """Resizes ``img``."""
        (height, width), (rows, columns) = self.size, results['img'].shape[:2]
        if columns * height < rows * width:
            height = int(width * rows / columns)
        else:
            width = int(height * columns / rows)
        results['img'] = resize_levels(results['img'], (height, width))
        results['img_shape'] = height, width
        return results


def resize_levels(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Levels ``(H, W, C)``, uint8 or float32, resized to ``(height, width)``, bicubic."""
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.array(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BICUBIC))
    return resize_bicubic(np.ascontiguousarray(pixels), size)  # Pillow has no such images
