"""The pre-training head: from projected tokens to what is logged."""

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS


@MODELS.register_module()
class ConMIMHead(BaseModule):
    """Drops the class token, applies the loss, counts how often the own position ranks first.

    Args:
        loss: Config of the loss, a component like
            :class:`~conmim_mm.models.patch_infonce.PatchInfoNCELoss`.
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
        """Loss and hit rate of a batch.

        Args:
            student: ``(B, 1 + L, D)`` projected student tokens.
            teacher: ``(B, 1 + L, D)`` projected teacher tokens, without gradient.
            mask: ``(B, L)`` bool, True = masked.

        Returns:
            ``loss``, and ``hit_rate``: the share of masked tokens whose own position scores highest
            (chance: 1 / L). Both scalars.
        """
        student = student[:, self.num_extra_tokens:]
        teacher = teacher[:, self.num_extra_tokens:]
        loss, logits = self.loss_module(student, teacher, mask)
        return dict(loss=loss, hit_rate=hit_rate(logits, mask))


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
