import math

import pytest
import torch
from mmpretrain.registry import MODELS
from torch import nn

from conmim_mm.models.heads.conmim_head import ConMIMHead, centre_positions, look_up_scores


def plane_tokens(*degrees: float) -> torch.Tensor:
    """``(L, 2)`` vectors of these angles, so that cosines are those of the differences."""
    angles = torch.tensor(degrees) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


def cos(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def test_hand_computed_scores() -> None:
    teacher = 7 * torch.stack([plane_tokens(0, 90), plane_tokens(0, 10)])
    student = 3 * torch.stack([plane_tokens(30, 200), plane_tokens(60, 0)]).requires_grad_()
    mask = torch.tensor([[True, True], [True, False]])
    scores = look_up_scores(student, teacher, mask)
    assert scores['hit_rate'].item() == pytest.approx(2 / 3)  # the third is nearer to 10 degrees
    assert scores['positive_similarity'].item() == pytest.approx(
        (cos(30) + cos(110) + cos(60)) / 3, rel=1e-5)
    assert scores['negative_similarity'].item() == pytest.approx(
        (cos(60) + cos(160) + cos(50)) / 3, rel=1e-5)
    assert not any(score.requires_grad for score in scores.values())


def test_the_hardest_negative_is_the_nearest_other_position() -> None:
    teacher = plane_tokens(0, 60, 90)[None]
    student = plane_tokens(10, 60, 90)[None]
    mask = torch.tensor([[True, False, False]])
    scores = look_up_scores(student, teacher, mask)
    assert scores['negative_similarity'].item() == pytest.approx(cos(50))


@MODELS.register_module()
class MaskedDistance(nn.Module):
    """A loss that has nothing but its ``forward``."""

    def forward(self, student: torch.Tensor, teacher: torch.Tensor,
                mask: torch.Tensor) -> torch.Tensor:
        return (student - teacher)[mask].pow(2).mean()


def test_a_loss_needs_only_forward() -> None:
    head = ConMIMHead(loss=dict(type='MaskedDistance'))
    class_tokens = torch.randn(2, 1, 3)
    student, teacher = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    mask = torch.tensor([[True, False, True, False, False], [False, False, False, True, False]])
    losses = head.loss(torch.cat([class_tokens, student], dim=1),
                       torch.cat([class_tokens, teacher], dim=1), mask)
    assert torch.equal(losses.pop('loss'), (student[mask] - teacher[mask]).pow(2).mean())
    torch.testing.assert_close(losses, look_up_scores(student, teacher, mask), rtol=0, atol=0)


def test_the_head_logs_float32_under_autocast_and_leaves_out_the_class_token() -> None:
    head = ConMIMHead(loss=dict(type='PatchInfoNCELoss', temperature=0.5, loss_weight=3.))
    class_token = torch.tensor([[[1., 1.]]]).bfloat16()
    patches = torch.tensor([[[1., 0.], [0., 1.]]]).bfloat16()
    tokens = torch.cat([class_token, patches], dim=1)
    with torch.autocast('cpu', torch.bfloat16):
        losses = head.loss(tokens, tokens, torch.ones(1, 2, dtype=torch.bool))
    assert losses['positive_similarity'].item() == pytest.approx(1.)
    assert losses['negative_similarity'].item() == pytest.approx(0.)
    assert losses['loss'].item() == pytest.approx(3 * math.log(1 + math.exp(-2)))
    assert {value.dtype for value in losses.values()} == {torch.float32}


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_centred_a_teacher_of_positions_alone_teaches_nothing(dtype: torch.dtype) -> None:
    head = ConMIMHead(loss=dict(type='PatchInfoNCELoss'), centre_positions=True)
    images, patches = 7, 5  # the mean of seven equal numbers is not that number
    teacher = torch.randn(1, patches, 8, dtype=dtype).expand(images, -1, -1)
    student = torch.randn(images, patches, 8, dtype=dtype)
    mask = torch.rand(images, patches) < 0.5
    assert head.loss(student, teacher, mask)['loss'].item() == pytest.approx(
        math.log(patches), abs=1e-6)


def test_centred_tokens_are_those_without_the_mean_of_their_position() -> None:
    tokens = torch.randn(4, 3, 2, requires_grad=True)
    mask = torch.tensor([[True, False, True], [True, True, False], [False, True, True],
                         [True, False, False]])
    centred = centre_positions(tokens, mask)
    for position in range(3):
        own = tokens[mask[:, position], position]
        torch.testing.assert_close(centred[mask[:, position], position], own - own.mean(dim=0))
    centred[:, 0].sum().backward()
    torch.testing.assert_close(tokens.grad[:3, 0].sum() + tokens.grad[3, 0].sum(),
                               torch.tensor(0.), atol=1e-5, rtol=0)
