"""An image as small as it can be where a centre crop is to fill a size, oblong or square."""

from collections.abc import Sequence

from mmpretrain.datasets.transforms import ResizeEdge
from mmpretrain.registry import TRANSFORMS

from ...utils.sizes import to_size


@TRANSFORMS.register_module()
class ResizeToCover(ResizeEdge):
    """Resizes an image in its own proportions, so that it just covers a size.

    mmpretrain's ``ResizeEdge`` knows edges alone: of a square size it makes the same.

    Required keys:

    - img: ``(H, W, C)`` uint8.

    Modified keys: img, img_shape. Added keys: scale, scale_factor.

    Args:
        size: Height and width to cover, in pixels; an int for a square.
        backend: As in ``ResizeEdge``.
        interpolation: As in ``ResizeEdge``.

    Raises:
        InputError: ``size`` is no size.
    """

    def __init__(self, size: int | Sequence[int], backend: str = 'pillow',
                 interpolation: str = 'bicubic') -> None:
        self.size = to_size(size)
        super().__init__(max(self.size), backend=backend, interpolation=interpolation)

    def transform(self, results: dict) -> dict:
        """Resizes ``img``."""
        (height, width), (rows, columns) = self.size, results['img'].shape[:2]
        if columns * height < rows * width:
            results['scale'] = width, int(width * rows / columns)
        else:
            results['scale'] = int(height * columns / rows), height
        self._resize_img(results)
        return results
