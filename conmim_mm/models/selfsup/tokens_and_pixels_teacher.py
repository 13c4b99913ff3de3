"""A teacher that gives a target which nothing can move beside the one that moves."""

import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS

from .ema_teacher import EMABackboneTeacher


def normalised_patches(images: torch.Tensor, patch_size: int) -> torch.Tensor:
    """The pixels of each patch, normalised by themselves, as MAE's targets (arXiv 2111.06377).

    Args:
        images: ``(B, C, H, W)``.
        patch_size: Side p of a patch, in pixels.

    Returns:
        ``(B, L, C p p)``, row by row.
    """
    patches = F.unfold(images, patch_size, stride=patch_size).transpose(1, 2)
    return F.layer_norm(patches, patches.shape[-1:])


@MODELS.register_module()
class TokensAndPixelsTeacher(EMABackboneTeacher):
    """Gives the pixels of each patch, normalised by themselves, behind its token.

    For :class:`TokensAndPixelsHead`; the student's projector must end at the backbone's width and
    so many pixels. Arguments and errors as of :class:`EMABackboneTeacher`.
    """

    @property
    def num_pixels(self) -> int:
        """Of a patch, times its bands."""
        return self.backbone.in_channels * self.backbone.patch_size**2

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``(B, 1 + L, D + C p p)`` of images ``(B, C, H, W)``; no pixels for the class token."""
        return torch.cat([super().forward(images).float(), self.pixels(images)], dim=-1)

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """The last ``C p p`` channels of these: ``(B, 1 + L, C p p)``."""
        return F.pad(normalised_patches(images.float(), self.backbone.patch_size), (0, 0, 1, 0))
