"""Which of the teacher's patches the student takes for which: the look-up that ConMIM trains."""

from typing import NamedTuple

import torch

from ..models.losses.patch_infonce_loss import cosine_similarities
from ..models.selfsup.conmim import ConMIM
from ..utils.inspection import inspection


class LookUp(NamedTuple):
    """How alike the student's patch tokens are to the teacher's, for a batch.

    Attributes:
        similarity: ``(B, L, L)`` cosine similarities; row i is of the student's token i with every
            token of the teacher.
        mask: ``(B, L)`` bool, True where the student's patch was hidden.
    """

    similarity: torch.Tensor
    mask: torch.Tensor

    @property
    def matches(self) -> torch.Tensor:
        """``(B, L)`` int64: the teacher's patch most like each of the student's tokens."""
        return self.similarity.argmax(dim=-1)

    @property
    def hits(self) -> torch.Tensor:
        """``(B, L)`` bool: hidden, and matched with its own position."""
        own = torch.arange(self.similarity.shape[-1], device=self.similarity.device)
        return (self.matches == own) & self.mask

    @property
    def ranks(self) -> torch.Tensor:
        """``(B, L)`` int64: how many of the teacher's patches score above the own one, plus 1."""
        own = self.similarity.diagonal(dim1=1, dim2=2).unsqueeze(-1)
        return (self.similarity > own).sum(dim=-1) + 1


def look_up(model: ConMIM, inputs: dict[str, torch.Tensor]) -> LookUp:
    """What the loss compares: projected tokens of the masked student and of the whole teacher.

    Where the head takes each position's mean over the batch out, these images are the batch; of a
    single image, of which nothing would be left, the mean over its patches is taken out instead.

    Args:
        model: Its mode stays as it is; the tokens are those of eval mode
            (:func:`inspection` says why).
        inputs: As :meth:`ConMIM.loss <conmim_mm.models.selfsup.conmim.ConMIM.loss>` takes them.
    """
    mask = inputs['mask']
    with inspection(model):
        student, _ = model.student_tokens(inputs['student_view'], mask)
        teacher = model.teacher(inputs['teacher_view'])
        if model.head.centre_positions and len(mask) == 1:
            student, teacher = (model.head.of_patches(tokens, mask.shape[1])
                                for tokens in (student, teacher))
            student, teacher = student - student[mask].mean(dim=0), teacher - teacher.mean(dim=1)
        else:
            student, teacher = model.head.patch_tokens(student, teacher, mask)
    return LookUp(cosine_similarities(student, teacher), mask)


def spread_holes(mask: torch.Tensor, count: int) -> list[int]:
    """Some of an image's hidden patches, evenly spread over them.

    Args:
        mask: ``(L,)`` bool.
        count: How many; fewer where fewer are hidden.
    """
    hidden = mask.nonzero().flatten().tolist()
    count = min(count, len(hidden))
    return [hidden[(2 * i + 1) * len(hidden) // (2 * count)] for i in range(count)]


def describe_score(found: LookUp) -> str:
    """How many of the holes are found, beside chance, in words."""
    hits, holes = int(found.hits.sum()), int(found.mask.sum())
    return (f'Right for {hits} of {holes} holes ({hits / holes:.1%}; by chance '
            f'{1 / found.similarity.shape[-1]:.1%}).')
