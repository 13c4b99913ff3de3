"""The slowly moving teacher (ConMIM paper, section 3.2: asymmetric model progress)."""

import copy

import torch
from mmpretrain.registry import MODELS
from torch import nn


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

    def __init__(self, backbone: nn.Module, neck: nn.Module) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(backbone)
        self.neck = copy.deepcopy(neck)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Projected tokens of whole images: ``(B, 3, H, W)`` to ``(B, 1 + L, D)``."""
        return self.neck(self.backbone.forward_tokens(images))

    @torch.no_grad()
    def copy_from(self, backbone: nn.Module, neck: nn.Module) -> None:
        """Takes over all parameters and buffers of the student."""
        self.backbone.load_state_dict(backbone.state_dict())
        self.neck.load_state_dict(neck.state_dict())

    @torch.no_grad()
    def update(self, backbone: nn.Module, neck: nn.Module, momentum: float) -> None:
        """``teacher = momentum * teacher + (1 - momentum) * student`` over all parameters.

        Args:
            backbone: The student's backbone.
            neck: The student's projector.
            momentum: The teacher's share, from 0 to 1.
        """
        teacher = [*self.backbone.parameters(), *self.neck.parameters()]
        student = [*backbone.parameters(), *neck.parameters()]
        torch._foreach_lerp_(teacher, student, 1 - momentum)
