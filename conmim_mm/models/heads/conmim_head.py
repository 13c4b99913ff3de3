"""The pre-training head: from projected tokens to what is logged."""

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS

from ..losses.patch_infonce_loss import cosine_similarities


@MODELS.register_module()
class ConMIMHead(BaseModule):
    """Drops the class token, applies the loss, measures how well the own position is recognised.

    Args:
        loss: Config of the loss: any module whose ``forward(student, teacher, mask)`` makes a
            scalar of ``(B, L, D)`` student and teacher tokens and the ``(B, L)`` mask, such as
            :class:`PatchInfoNCELoss`.
        centre_positions: Take each position's mean over the batch out of the tokens of both
            networks first (:func:`centre_positions`). A position embedding that the teacher sees
            is then no shortcut.
        init_cfg: As in MMEngine.
    """

    num_pixels = 0  # of the last channels that the teacher must give

    def __init__(self, loss: dict, centre_positions: bool = False,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.centre_positions = centre_positions
        self.loss_module = MODELS.build(loss)

    def loss(self, student: torch.Tensor, teacher: torch.Tensor,
             mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """Loss of a batch, and what is logged beside it.

        Args:
            student: ``(B, N, D)`` projected student tokens, the L patch tokens last.
            teacher: ``(B, N, D)`` projected teacher tokens, without gradient.
            mask: ``(B, L)`` bool, True = masked.

        Returns:
            ``loss``, and what :func:`look_up_scores` says. All scalars.
        """
        student, teacher = self.patch_tokens(student, teacher, mask)
        return dict(loss=self.loss_module(student, teacher, mask),
                    **look_up_scores(student, teacher, mask))

    def patch_tokens(self, student: torch.Tensor, teacher: torch.Tensor,
                     mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the loss compares: ``(B, L, D)`` each. Arguments as for :meth:`loss`."""
        return self.centred(*(self.of_patches(tokens, mask.shape[1])
                              for tokens in (student, teacher)), mask)

    def of_patches(self, tokens: torch.Tensor, num_patches: int) -> torch.Tensor:
        """The patch tokens ``(B, L, D)`` among those that a network makes, ``(B, N, D)``."""
        return tokens[:, -num_patches:]

    def centred(self, student: torch.Tensor, teacher: torch.Tensor,
                mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Patch tokens ``(B, L, D)`` without what each position has in common, if asked for."""
        if self.centre_positions:
            student = centre_positions(student, mask)
            teacher = centre_positions(teacher, torch.ones_like(mask))
        return student, teacher


def centre_positions(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Takes each position's mean over the batch out of it (of this process, as batch norms do).

    Args:
        tokens: ``(B, L, D)``.
        mask: ``(B, L)`` bool: whose tokens make up the mean.

    Returns:
        ``(B, L, D)`` float32: exactly 0 where all tokens of a position are equal.
    """
    tokens = tokens.float()
    # The mean of equal numbers need not be that number, and a cosine would blow up what is left.
    first = mask.byte().argmax(dim=0)
    tokens = tokens - tokens[first, torch.arange(len(first), device=first.device)]
    weights = mask / mask.sum(dim=0).clamp(min=1)
    return tokens - (weights.unsqueeze(-1) * tokens).sum(dim=0)


@torch.no_grad()
def look_up_scores(student: torch.Tensor, teacher: torch.Tensor,
                   mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """How well masked tokens recognise their own teacher token, by cosine similarity.

    All positions are scored and the visible ones weighted away, so shapes never depend on the mask.

    Args:
        student: ``(B, L, D)`` student patch tokens; L at least 2.
        teacher: ``(B, L, D)`` teacher patch tokens.
        mask: ``(B, L)`` bool, True = masked.

    Returns:
        Float32 scalars over the masked tokens of the batch: ``hit_rate``, the share whose own
        position is the most similar (chance: 1 / L); ``positive_similarity``, the mean similarity
        with the own teacher token; ``negative_similarity``, the mean of the highest with a token
        of another position.
    """
    similarity = cosine_similarities(student, teacher)
    own = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    scores = dict(
        hit_rate=similarity.argmax(dim=-1) == torch.arange(mask.shape[1], device=mask.device),
        positive_similarity=similarity.diagonal(dim1=1, dim2=2),
        negative_similarity=similarity.masked_fill(own, float('-inf')).amax(dim=-1))
    return {name: (score * mask).sum() / mask.sum() for name, score in scores.items()}
