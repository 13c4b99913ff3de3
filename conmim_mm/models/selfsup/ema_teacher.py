"""The slowly moving teacher (ConMIM paper, section 3.2: asymmetric model progress)."""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import nn

from ...errors import InputError
from ..backbones.conmim_vit import resolve_block_indices


@MODELS.register_module()
class EMATeacher(nn.Module):
    """Exponential moving average of the student's backbone and projector.

    It has the student's modules, without gradients. It stays in train mode with its student, so its
    batch norms use the statistics of the batch at hand, as in the original implementation. Only
    parameters are averaged: buffers (running statistics) are the teacher's own.

    Args:
        backbone: The student's backbone, which is copied.
        neck: The student's projector, which is copied.
    """

    parts = ('backbone', 'neck')  # of the student, which are followed

    def __init__(self, backbone: nn.Module, neck: nn.Module) -> None:
        super().__init__()
        student = dict(backbone=backbone, neck=neck)
        for part in self.parts:
            self.add_module(part, copy.deepcopy(student[part]))
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Projected tokens of whole images: ``(B, 3, H, W)`` to ``(B, 1 + L, D)``."""
        return self.neck(self.backbone.forward_tokens(images))

    @torch.no_grad()
    def copy_from(self, student: nn.Module) -> None:
        """Takes over all parameters and buffers of the student's parts."""
        for part in self.parts:
            getattr(self, part).load_state_dict(getattr(student, part).state_dict())

    def followed(self, student: nn.Module) -> list[nn.Parameter]:
        """The student's parameters that the teacher's own follow, in the same order."""
        return [own for part in self.parts for own in getattr(student, part).parameters()]

    @torch.no_grad()
    def update(self, student: nn.Module, momentum: float) -> None:
        """``teacher = momentum * teacher + (1 - momentum) * student`` over all parameters.

        Args:
            student: The model with the parts that are followed, as a rule :class:`ConMIM`.
            momentum: The teacher's share, from 0 to 1.
        """
        torch._foreach_lerp_([*self.parameters()], self.followed(student), 1 - momentum)


@MODELS.register_module()
class EMABackboneTeacher(EMATeacher):
    """A teacher without projector: the student's projector predicts the backbone's own tokens.

    Ours. The targets are normalised without weights, as in data2vec (arXiv 2202.03555). The
    student's projector must end at the backbone's width, and the head should have
    ``centre_positions``, as nothing else takes out what all tokens have in common.

    Args:
        backbone: As in :class:`EMATeacher`.
        neck: The student's projector, which is not copied.
        blocks: Whose tokens are the targets, each normalised, and the mean of several; negative
            ones count from the end. Blocks behind them do not run.

    Raises:
        InputError: There is no such block, or the projector ends at another width.
    """

    parts = ('backbone', )
    num_pixels = 0  # of a patch, behind its token

    def __init__(self, backbone: nn.Module, neck: nn.Module,
                 blocks: int | Sequence[int] = -1) -> None:
        super().__init__(backbone, neck)
        self.blocks = resolve_block_indices('blocks', blocks, self.backbone.num_layers)
        if getattr(neck, 'out_channels', self.num_channels) != self.num_channels:
            raise InputError(f"the projector must end at {type(self).__name__}'s targets: set "
                             f'model.neck.out_channels={self.num_channels}')

    @property
    def num_channels(self) -> int:
        """Of a target: the backbone's width, and the pixels."""
        return self.backbone.embed_dims + self.num_pixels

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised tokens of whole images: ``(B, 3, H, W)`` to ``(B, 1 + L, C)``."""
        patterns = self.backbone.attention_patterns(self.backbone.grid_of(images))
        outputs = self.backbone.forward_blocks(
            self.backbone.embed_patches(images), patterns[:max(self.blocks) + 1])
        return torch.stack([
            F.layer_norm(outputs[i], outputs[i].shape[-1:]) for i in self.blocks]).mean(dim=0)
