"""The student's and the teacher's view of an image."""

import math
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from ..errors import InputError
from ..sizes import to_size
from .perturbation import TeacherPerturbation
from .sample_rng import sample_rng

CROP_ATTEMPTS = 10


@TRANSFORMS.register_module()
class ConMIMTwoViews(BaseTransform):
    """One random crop, seen twice: as it is (student) and perturbed (teacher).

    Both views come from the same flip and the same crop, so pixel (y, x) of one shows the same spot
    as pixel (y, x) of the other.

    Required keys:

    - img: ``(H, W, 3)`` uint8.

    Added keys:

    - student_view, teacher_view: ``(h, w, 3)`` uint8, RGB.

    Args:
        size: Height and width of the views in pixels; an int for square ones.
        scale: Range of the crop's share of the image area.
        ratio: Range of the crop's width over height.
        flip_prob: Probability of a horizontal flip.
        perturbation: Arguments of :class:`~conmim_mm.datasets.perturbation.TeacherPerturbation`;
            None for two equal views (the ablation without asymmetric perturbation).
        channel_order: ``'rgb'``, or ``'bgr'`` if the image comes from OpenMMLab's loaders.

    Raises:
        InputError: An unknown channel order, a scale or ratio that is no positive range.
    """

    def __init__(self,
                 size: int | Sequence[int] = 224,
                 scale: tuple[float, float] = (0.08, 1.0),
                 ratio: tuple[float, float] = (3 / 4, 4 / 3),
                 flip_prob: float = 0.5,
                 perturbation: dict | None = dict(),  # noqa: B006  (read only)
                 channel_order: str = 'rgb') -> None:
        self.size = to_size(size)
        for name, (low, high) in dict(scale=scale, ratio=ratio).items():
            if not 0 < low <= high:
                raise InputError(f'{name} must be a range of positive numbers, but is '
                                 f'({low}, {high})')
        if not 0 <= flip_prob <= 1:
            raise InputError(f'flip_prob must lie in [0, 1], but is {flip_prob}')
        if channel_order not in ('rgb', 'bgr'):
            raise InputError(f"channel_order must be 'rgb' or 'bgr', but is {channel_order!r}")
        self.scale = scale
        self.ratio = ratio
        self.flip_prob = flip_prob
        self.perturbation = None if perturbation is None else TeacherPerturbation(**perturbation)
        self.channel_order = channel_order

    def transform(self, results: dict) -> dict:
        """Adds the two views."""
        rng = sample_rng(results)
        img = results['img']
        if self.channel_order == 'bgr':
            img = np.ascontiguousarray(img[..., ::-1])

        view = self.crop(img, rng)
        perturbed = view if self.perturbation is None else self.perturbation(view, rng)
        results['student_view'] = np.asarray(view)
        results['teacher_view'] = np.asarray(perturbed)
        return results

    def crop(self, img: np.ndarray, rng: np.random.Generator) -> Image.Image:
        """Random flip and random resized crop (bicubic) of a ``(H, W, 3)`` uint8 RGB image."""
        flip = rng.random() < self.flip_prob
        left, top, right, bottom = random_crop_box(img.shape[1::-1], self.scale, self.ratio, rng)
        height, width = self.size
        # Cropped first, so that no pixel outside the box enters: as torchvision does. Not with
        # Pillow, which refuses boxes beyond a limit of its own; LoadRGBImage has one already.
        box = Image.fromarray(img[top:bottom, left:right])
        view = box.resize((width, height), Image.Resampling.BICUBIC)
        # The crop is uniform, so flipping the small view is flipping the large image.
        return view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else view


def random_crop_box(image_size: tuple[int, int], scale: tuple[float, float],
                    ratio: tuple[float, float],
                    rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Draws the box of a random resized crop, as in torchvision's ``RandomResizedCrop``.

    Args:
        image_size: Width and height of the image in pixels.
        scale: Range of the crop's share of the image area.
        ratio: Range of the crop's width over height; drawn uniformly on a log scale.
        rng: Source of randomness.

    Returns:
        Left, top, right, bottom in pixels. Where ten draws do not fit, the largest central box
        whose ratio lies in the range.
    """
    width, height = image_size
    for _ in range(CROP_ATTEMPTS):
        area = width * height * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, top, left + w, top + h

    w = min(width, round(height * ratio[1]))
    h = min(height, round(width / ratio[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h
