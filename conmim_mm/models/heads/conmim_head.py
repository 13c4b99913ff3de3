"""The pre-training head: from projected tokens to what is logged."""

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS


@MODELS.register_module()
class ConMIMHead(BaseModule):
    """Drops the class token, applies the loss, measures how well the own position is recognised.

    Args:
        loss: Config of the loss, a component like
            :class:`PatchInfoNCELoss`, with its ``temperature``.
        num_extra_tokens: Tokens before the patch tokens (the class token).
        init_cfg: As in MMEngine.
    """

    def __init__(self,
                 loss: dict,
                 num_extra_tokens: int = 1,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.loss_module = MODELS.build(loss)
        self.num_extra_tokens = num_extra_tokens

    def loss(self, student: torch.Tensor, teacher: torch.Tensor,
             mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """Loss of a batch, and what is logged beside it.

        Args:
            student: ``(B, 1 + L, D)`` projected student tokens.
            teacher: ``(B, 1 + L, D)`` projected teacher tokens, without gradient.
            mask: ``(B, L)`` bool, True = masked.

        Returns:
            ``loss``; ``hit_rate``, the share of masked tokens whose own position scores highest
            (chance: 1 / L); ``positive_similarity`` and ``negative_similarity``, see
            :func:`similarities`. All scalars.
        """
        student = student[:, self.num_extra_tokens:]
        teacher = teacher[:, self.num_extra_tokens:]
        loss, logits = self.loss_module(student, teacher, mask)
        positive, negative = similarities(logits, mask, self.loss_module.temperature)
        return dict(loss=loss, hit_rate=hit_rate(logits, mask), positive_similarity=positive,
                    negative_similarity=negative)


@torch.no_grad()
def hit_rate(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Share of masked tokens whose own position scores highest.

    Args:
        logits: ``(B, L, L)``, row i scoring student token i against every teacher token.
        mask: ``(B, L)`` bool, True = masked.

    Returns:
        A float32 scalar between 0 and 1.
    """
    own_position = torch.arange(logits.shape[-1], device=logits.device)
    hits = (logits.argmax(dim=-1) == own_position) & mask
    return hits.sum() / mask.sum()


@torch.no_grad()
def similarities(logits: torch.Tensor, mask: torch.Tensor,
                 temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """How alike masked tokens are to their own teacher token, and to the hardest other one.

    Args:
        logits: ``(B, L, L)`` cosine similarities over the temperature, row i of student token i
            with every teacher token of its image; L at least 2.
        mask: ``(B, L)`` bool, True = masked.
        temperature: What the similarities were divided by.

    Returns:
        The mean, over the masked tokens of the batch, of the cosine similarity with the own teacher
        token, and of the highest with a token of another position. Float32 scalars from -1 to 1.
    """
    own = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    positive = logits.diagonal(dim1=1, dim2=2)
    negative = logits.masked_fill(own, float('-inf')).amax(dim=-1)
    scale = temperature / mask.sum()
    return (positive * mask).sum() * scale, (negative * mask).sum() * scale
