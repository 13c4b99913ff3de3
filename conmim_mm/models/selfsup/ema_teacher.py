"""The slowly moving teacher (ConMIM paper, section 3.2: asymmetric model progress)."""

import copy

import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import nn

from ...errors import InputError


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
        num_blocks: Mean over the tokens of so many last blocks, each normalised; 1 for the last.
    """

    parts = ('backbone', )

    def __init__(self, backbone: nn.Module, neck: nn.Module, num_blocks: int = 1) -> None:
        super().__init__(backbone, neck)
        if not 1 <= num_blocks <= self.backbone.num_layers:
            raise InputError(f'num_blocks={num_blocks} is not between 1 and the '
                             f'{self.backbone.num_layers} blocks')
        self.num_blocks = num_blocks

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised tokens of whole images: ``(B, 3, H, W)`` to ``(B, 1 + L, C)``."""
        if self.num_blocks == 1:
            outputs = [self.backbone.forward_tokens(images)]
        else:
            patterns = self.backbone.attention_patterns(self.backbone.grid_of(images))
            outputs = self.backbone.forward_blocks(
                self.backbone.embed_patches(images), patterns)[-self.num_blocks:]
        return sum(F.layer_norm(x, x.shape[-1:]) for x in outputs) / self.num_blocks
