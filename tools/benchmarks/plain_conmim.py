"""ConMIM's step in plain PyTorch, which bench_step.py compares ours with: the same mathematics."""

import torch
import torch.nn.functional as F
from torch import nn

from conmim_mm.models import ConMIM, ConMIMViT
from conmim_mm.models.layers.rel_pos_bias import RelativePositionBias, bias_matrix


class PlainAttention:
    """Attention as it was written before fused kernels: the bias gathered in each block.

    Arguments as of :class:`conmim_mm.models.layers.attention_patterns.FullAttention`.
    """

    def __init__(self, grid: tuple[int, int], shared: RelativePositionBias) -> None:
        self.grid = grid
        self.shared = shared

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
                 own: None) -> torch.Tensor:
        scores = q * q.shape[-1]**-0.5 @ k.transpose(-2, -1)
        scores = scores + bias_matrix(self.shared(self.grid), self.grid)
        return scores.softmax(dim=-1) @ v


class PlainViT(ConMIMViT):
    """The same ViT with :class:`PlainAttention`."""

    def attention_patterns(self, grid: tuple[int, int]) -> list[PlainAttention]:
        return [PlainAttention(grid, self.rel_pos_bias)] * self.num_layers


class PlainHead(nn.Module):
    """The same loss of tokens picked by booleans."""

    def __init__(self, loss: dict) -> None:
        super().__init__()
        self.temperature = loss['temperature']

    def loss(self, student: torch.Tensor, teacher: torch.Tensor,
             mask: torch.Tensor) -> dict[str, torch.Tensor]:
        student = F.normalize(student[:, -mask.shape[1]:].float(), dim=-1)
        teacher = F.normalize(teacher[:, -mask.shape[1]:].float(), dim=-1)
        with torch.autocast(student.device.type, enabled=False):
            logits = student @ teacher.transpose(1, 2) / self.temperature
        own = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
        logits, own = logits[mask], own[mask]
        return dict(loss=F.cross_entropy(logits, own),
                    hit_rate=(logits.argmax(dim=-1) == own).float().mean())


@torch.no_grad()
def move_one_by_one(model: ConMIM, momentum: float) -> None:
    """The teacher's update, parameter by parameter."""
    for part in ('backbone', 'neck'):
        for own, given in zip(getattr(model.teacher, part).parameters(),
                              getattr(model, part).parameters(), strict=True):
            own.mul_(momentum).add_(given, alpha=1 - momentum)
