"""Which patches are hidden: the two maskings of the original implementation."""

import math
from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from ...errors import InputError
from ...utils.sizes import divide_size, to_size
from ..sample_rng import sample_rng


class PatchMask(BaseTransform):
    """Base of the mask generators: adds ``mask`` to a sample.

    Added keys:

    - mask: ``(h, w)`` bool over the patch grid, True = masked; with several masks
      ``(num_masks, h, w)``.

    Args:
        img_size: Height and width of the views in pixels; an int for square ones.
        patch_size: Side of a patch, in pixels.
        num_masks: So many masks of each image, for which the teacher sees it once (data2vec 2.0,
            arXiv 2212.07525, section 3.2).

    Raises:
        InputError: ``img_size`` is not divisible by ``patch_size``, ``num_masks`` below 1.
    """

    def __init__(self, img_size: int | Sequence[int], patch_size: int, num_masks: int = 1) -> None:
        if num_masks < 1:
            raise InputError(f'num_masks must be at least 1, but is {num_masks}')
        self.num_masks = num_masks
        self.img_size = to_size(img_size)
        self.patch_size = patch_size
        self.grid = divide_size(self.img_size, patch_size, 'img_size', 'patch_size')

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Draws one mask, ``(h, w)`` bool, True = masked."""

    def transform(self, results: dict) -> dict:
        """Adds ``mask``."""
        rng = sample_rng(results)
        masks = [self.draw(rng) for _ in range(self.num_masks)]
        results['mask'] = masks[0] if self.num_masks == 1 else np.stack(masks)
        return results


@TRANSFORMS.register_module()
class RandomPatchMask(PatchMask):
    """Masks a fixed share of square blocks, drawn without replacement (``random`` masking).

    Args:
        img_size: As in :class:`PatchMask`.
        patch_size: As in :class:`PatchMask`.
        block_size: Side of a block in pixels; a multiple of ``patch_size`` that divides
            ``img_size``. The original uses 32 for 16-pixel patches.
        mask_ratio: Share of blocks that is masked, rounded up to whole blocks; between 0 and 1.
            With 224, 16, 32 and 0.75: 37 of 49 blocks, 148 of 196 tokens.
        num_masks: As in :class:`PatchMask`.

    Raises:
        InputError: Sizes that do not divide, a ratio outside (0, 1).
    """

    def __init__(self,
                 img_size: int | Sequence[int] = 224,
                 patch_size: int = 16,
                 block_size: int = 32,
                 mask_ratio: float = 0.75,
                 num_masks: int = 1) -> None:
        super().__init__(img_size, patch_size, num_masks)
        self.blocks = divide_size(self.img_size, block_size, 'img_size', 'block_size')
        self.patches_per_side, _ = divide_size(
            (block_size, block_size), patch_size, 'block_size', 'patch_size')
        if not 0 < mask_ratio < 1:
            raise InputError(f'mask_ratio must lie between 0 and 1, but is {mask_ratio}')
        self.mask_ratio = mask_ratio
        self.num_masked_blocks = math.ceil(math.prod(self.blocks) * mask_ratio)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        mask = np.zeros(math.prod(self.blocks), dtype=bool)
        mask[rng.permutation(mask.size)[:self.num_masked_blocks]] = True
        per_side = self.patches_per_side
        return mask.reshape(self.blocks).repeat(per_side, axis=0).repeat(per_side, axis=1)


@TRANSFORMS.register_module()
class BlockPatchMask(PatchMask):
    """Masks rectangles of random area and aspect until enough is masked (``block`` masking).

    BEiT's blockwise masking (arXiv 2106.08254, algorithm 1) with one difference: where BEiT gives
    up after ten misplaced rectangles and leaves the mask a little short, the rest is filled here
    with single patches, so that every mask has exactly ``num_masked`` patches.

    Args:
        img_size: As in :class:`PatchMask`.
        patch_size: As in :class:`PatchMask`.
        num_masked: Patches to mask. None: the share that BEiT masks, 75 of 196.
        min_block_patches: Smallest area of a rectangle, in patches. None: the share of 16 of 196.
        min_aspect: Smallest ratio of height to width; the largest is its inverse.
        num_masks: As in :class:`PatchMask`.

    Raises:
        InputError: Sizes that do not divide, a number of patches that does not fit the image.
    """

    _attempts = 10

    def __init__(self,
                 img_size: int | Sequence[int] = 224,
                 patch_size: int = 16,
                 num_masked: int | None = None,
                 min_block_patches: int | None = None,
                 min_aspect: float = 0.3,
                 num_masks: int = 1) -> None:
        super().__init__(img_size, patch_size, num_masks)
        num_patches = math.prod(self.grid)
        self.num_masked = round(num_patches * 75 / 196) if num_masked is None else num_masked
        self.min_block_patches = (
            max(1, round(num_patches * 16 / 196))
            if min_block_patches is None else min_block_patches)
        if not 0 < self.num_masked < num_patches:
            raise InputError(f'num_masked must lie between 0 and the {num_patches} patches of the '
                             f'image, but is {self.num_masked}')
        if not 0 < self.min_block_patches <= self.num_masked:
            raise InputError(f'min_block_patches must lie between 1 and num_masked='
                             f'{self.num_masked}, but is {self.min_block_patches}')
        if not 0 < min_aspect <= 1:
            raise InputError(f'min_aspect must lie in (0, 1], but is {min_aspect}')
        self.max_log_aspect = -math.log(min_aspect)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        mask = np.zeros(self.grid, dtype=bool)
        missing = self.num_masked
        while missing:
            rectangle = self._place_rectangle(mask, missing, rng)
            if rectangle is None:
                visible = np.flatnonzero(~mask)
                mask.flat[rng.permutation(visible)[:missing]] = True
                break
            mask[rectangle] = True
            missing = self.num_masked - int(mask.sum())
        return mask

    def _place_rectangle(self, mask: np.ndarray, max_new: int,
                         rng: np.random.Generator) -> tuple[slice, slice] | None:
        """Where to mask between 1 and ``max_new`` new patches; None if no attempt fits."""
        height, width = self.grid
        for _ in range(self._attempts):
            # As in BEiT, less may be missing than the smallest area: draw between both then too.
            area = rng.uniform(*sorted((self.min_block_patches, max_new)))
            aspect = math.exp(rng.uniform(-self.max_log_aspect, self.max_log_aspect))
            h = round(math.sqrt(area * aspect))
            w = round(math.sqrt(area / aspect))
            if not (0 < h < height and 0 < w < width):
                continue
            top = rng.integers(height - h + 1)
            left = rng.integers(width - w + 1)
            rectangle = slice(top, top + h), slice(left, left + w)
            new = h * w - int(mask[rectangle].sum())
            if 0 < new <= max_new:
                return rectangle
        return None
