"""What studies need besides: mmpretrain's methods on the same ViT, and that ViT as a ConMIMViT."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS, MODELS, TRANSFORMS
from torch import nn

from conmim_mm.datasets import TeacherPerturbation
from conmim_mm.datasets.transforms.perturbation import perturb
from conmim_mm.formats.backbone import BackboneSizes, read_sizes
from conmim_mm.formats.mmpretrain_format import from_mmpretrain
from conmim_mm.models.backbones.conmim_vit import ConMIMViT
from conmim_mm.models.layers.attention_patterns import attend
from conmim_mm.models.selfsup.tokens_and_pixels_teacher import (
    TokensAndPixelsTeacher,
    normalised_patches,
)


@MODELS.register_module()
class SimMIMViT(ConMIMViT):
    """A ConMIMViT as mmpretrain's SimMIM calls its backbones; arguments as there."""

    def forward(self, images: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        """``(B, C, h, w)`` of images ``(B, 3, H, W)`` with masks ``(B, h, w)``, True = masked."""
        if mask is None:
            return super().forward(images)
        tokens = self.forward_tokens(images, mask.flatten(1).bool())[:, self.num_extra_tokens:]
        return (tokens.transpose(1, 2).unflatten(2, self.grid_of(images)), )


@MODELS.register_module()
class BEiTStyleViT(ConMIMViT):
    """A ConMIMViT as mmpretrain's BEiT calls its backbones; arguments as there."""

    def forward(self, images: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        """``(B, 1 + L, C)`` of images ``(B, 3, H, W)`` with masks ``(B, h, w)``, 1 = masked."""
        return (self.forward_tokens(images, None if mask is None else mask.flatten(1).bool()), )


@MODELS.register_module()
class RandomProjectionTokenizer(nn.Module):
    """Numbers patches by the code nearest to a random projection (BEST-RQ, arXiv 2202.01855).

    Args:
        patch_size: Side of a patch, in pixels.
        num_codes: K.
        width: Of the projections.
    """

    def __init__(self, patch_size: int, num_codes: int, width: int = 16) -> None:
        super().__init__()
        self.patch_size = patch_size
        generator = torch.Generator().manual_seed(0)
        self.register_buffer('projection', torch.randn(
            3 * patch_size**2, width, generator=generator))
        self.register_buffer('codes', F.normalize(
            torch.randn(num_codes, width, generator=generator), dim=1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Cosine similarity of each patch with each code: ``(B, 3, H, W)`` to ``(B, K, h, w)``."""
        with torch.autocast(images.device.type, enabled=False):
            projected = normalised_patches(images, self.patch_size) @ self.projection
            scores = F.normalize(projected, dim=-1) @ self.codes.T
        return scores.transpose(1, 2).unflatten(2, [side // self.patch_size
                                                    for side in images.shape[-2:]])


@MODELS.register_module()
class PixelsTeacher(TokensAndPixelsTeacher):
    """Gives the pixels of each patch alone; its average of the student serves the judges only."""

    num_pixels = 0  # none that a head has to tell from tokens

    @property
    def num_channels(self) -> int:
        return super().num_pixels

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``(B, 1 + L, C p p)`` of images ``(B, C, H, W)``."""
        return self.pixels(images)


@TRANSFORMS.register_module()
class BothViews(BaseTransform):
    """The two views of :class:`LoadTwoViews` as the one list that mmpretrain's methods take."""

    def transform(self, results: dict) -> dict:
        """Adds ``img``, a list of two."""
        results['img'] = [results['student_view'], results['teacher_view']]
        return results


@TRANSFORMS.register_module()
class PerturbationOfBoth(TeacherPerturbation):
    """Perturbs the student's view as well, in another way than the teacher's."""

    def perturb(self, results: dict, view: np.ndarray, rng: np.random.Generator) -> None:
        """Adds ``teacher_view`` and changes ``student_view``."""
        super().perturb(results, view, rng)
        results['student_view'] = perturb(view, self.draw(rng))


@HOOKS.register_module()
class SameAttentionHook(Hook):
    """Lets mmpretrain's attention compute as ours does.

    In bfloat16 on a CPU PyTorch's fused kernel, which it calls, takes several times as long; that
    is no property of the methods that are compared.
    """

    def before_train(self, runner: Runner) -> None:
        for module in runner.model.modules():
            if hasattr(module, 'scaled_dot_product_attention'):
                module.scaled_dot_product_attention = attend_without_dropout


def attend_without_dropout(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
                           dropout_p: float = 0.) -> torch.Tensor:
    """As PyTorch's function; the methods compared have no dropout."""
    if dropout_p:
        raise ValueError('this attention has no dropout')
    return attend(q, k, v)


def as_conmim_vit(backbone: nn.Module) -> tuple[dict[str, torch.Tensor], BackboneSizes]:
    """Weights and sizes of the ConMIMViT that computes what a trained backbone does."""
    weights = backbone_weights(backbone)
    if isinstance(backbone, ConMIMViT):
        heads, eps = backbone.num_heads, backbone.blocks[0].norm1.eps
    else:
        heads, eps = backbone.layers[0].attn.num_heads, backbone.layers[0].ln1.eps
    return weights, replace(read_sizes(weights, heads), norm_eps=eps)


def backbone_weights(backbone: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of a trained backbone under a ConMIMViT's names."""
    state = backbone.state_dict()
    if isinstance(backbone, ConMIMViT):
        state.pop('mask_token', None)
        return state
    return from_mmpretrain(state, {}).weights
