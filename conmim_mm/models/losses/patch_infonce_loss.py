"""The denoising contrastive loss (ConMIM paper, section 3.1; arXiv 2205.09616)."""

import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import nn

from ...errors import InputError


def cosine_similarities(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Of each student token with every teacher token of its image.

    Args:
        student: ``(B, L, D)`` tokens, any length of vector.
        teacher: ``(B, L, D)`` tokens.

    Returns:
        ``(B, L, L)`` from -1 to 1, row i of student token i. Computed in float32 whatever the
        inputs are.
    """
    with torch.autocast(student.device.type, enabled=False):
        # centred tokens may be 0, where the default eps would make gradients of 1e12
        student = F.normalize(student.float(), dim=-1, eps=1e-6)
        teacher = F.normalize(teacher.float(), dim=-1, eps=1e-6)
        return student @ teacher.transpose(1, 2)


def patch_infonce(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor,
                  temperature: float) -> torch.Tensor:
    """Recognise each masked patch among all patches of the same image.

    The cross-entropy of the cosine similarities of a masked student token with all teacher tokens
    of its image, over the temperature, the target being the token's own position; the mean over all
    masked tokens of the batch. Computed in float32 whatever the inputs are. All positions are
    scored and the visible ones weighted away, so shapes never depend on the mask.

    Args:
        student: ``(B, L, D)`` projected student tokens, any length of vector.
        teacher: ``(B, L, D)`` projected teacher tokens.
        mask: ``(B, L)`` bool, True = masked. At least one True in the batch, else the loss is NaN.
        temperature: Divides the similarities; positive.

    Returns:
        The loss, a scalar.
    """
    logits = cosine_similarities(student, teacher) / temperature
    own_log_prob = logits.log_softmax(dim=-1).diagonal(dim1=1, dim2=2)
    return -(own_log_prob * mask).sum() / mask.sum()


@MODELS.register_module()
class PatchInfoNCELoss(nn.Module):
    """:func:`patch_infonce` as a loss component.

    Args:
        temperature: As in :func:`patch_infonce`. The original uses 0.1.
        loss_weight: Factor of the loss.

    Raises:
        InputError: A temperature that is not positive.
    """

    def __init__(self, temperature: float = 0.1, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise InputError(f'temperature must be positive, but is {temperature}')
        self.temperature = temperature
        self.loss_weight = loss_weight

    def forward(self, student: torch.Tensor, teacher: torch.Tensor,
                mask: torch.Tensor) -> torch.Tensor:
        """The weighted loss; arguments as in :func:`patch_infonce`."""
        return self.loss_weight * patch_infonce(student, teacher, mask, self.temperature)
