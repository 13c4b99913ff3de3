"""Reading and packing of samples."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS
from mmpretrain.structures import DataSample
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import InputError


def read_rgb(path: str) -> Image.Image:
    """Reads any image file Pillow knows as 8-bit RGB, upright.

    EXIF rotation is applied; palette, grey, CMYK and 16-bit grey are converted; transparency is
    dropped, keeping the colours below it, as in the original implementation.

    Args:
        path: The file.

    Raises:
        InputError: The file is missing or is not a readable image.
    """
    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith('I'):
                # Pillow would clip 16-bit grey levels at 255, which is nearly all of them.
                levels = np.asarray(image).clip(0, 2**16 - 1) // 2**8
                image = Image.fromarray(levels.astype(np.uint8))
            return image.convert('RGB')
    except FileNotFoundError:
        raise InputError(f'no such image: {path}') from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError,
            ValueError) as error:
        raise InputError(f'cannot read the image {path}: {error}') from error


@TRANSFORMS.register_module()
class LoadRGBImage(BaseTransform):
    """Reads an image as upright RGB, whatever its format and mode (see :func:`read_rgb`).

    Required keys:

    - img_path

    Added keys:

    - img: ``(H, W, 3)`` uint8, RGB.
    - img_shape, ori_shape: ``(H, W)``.
    """

    def transform(self, results: dict) -> dict:
        """Adds ``img``."""
        img = np.asarray(read_rgb(results['img_path']))
        results['img'] = img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results


@TRANSFORMS.register_module()
class PackConMIMInputs(BaseTransform):
    """Packs views and mask for the model.

    Returns a dict of ``inputs``: ``student_view`` and ``teacher_view`` ``(3, h, w)`` uint8 and
    ``mask`` ``(L,)`` bool, True = masked; and ``data_samples`` with the image's path.
    """

    def transform(self, results: dict) -> dict:
        """Packs a sample."""
        inputs = {
            view: torch.from_numpy(np.ascontiguousarray(results[view].transpose(2, 0, 1)))
            for view in ('student_view', 'teacher_view')
        }
        inputs['mask'] = torch.from_numpy(results['mask'].reshape(-1))
        sample = DataSample(metainfo=dict(img_path=results.get('img_path')))
        return dict(inputs=inputs, data_samples=sample)
