import math

import pytest
import torch

from conmim_mm.errors import InputError
from conmim_mm.models.heads.conmim_head import ConMIMHead, hit_rate, similarities
from conmim_mm.models.losses.patch_infonce_loss import PatchInfoNCELoss, patch_infonce


def test_hand_computed_loss() -> None:
    # Two patches with orthogonal teacher tokens; the student's first token matches its own.
    teacher = torch.tensor([[[2., 0.], [0., 5.]]])
    student = torch.tensor([[[3., 0.], [1., 1.]]])
    loss, logits = patch_infonce(student, teacher, torch.tensor([[True, False]]), temperature=0.5)
    torch.testing.assert_close(logits[0, 0], torch.tensor([2., 0.]))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)))

    # The second token lies between both: chance.
    loss, _ = patch_infonce(student, teacher, torch.tensor([[False, True]]), temperature=0.5)
    assert loss.item() == pytest.approx(math.log(2))


def test_mean_runs_over_all_masked_tokens_of_the_batch() -> None:
    student, teacher = torch.randn(2, 4, 8), torch.randn(2, 4, 8)
    mask = torch.tensor([[True, False, False, False], [True, True, True, False]])
    loss, logits = patch_infonce(student, teacher, mask, 0.1)
    own = torch.arange(4).expand(2, 4)
    expected = torch.nn.functional.cross_entropy(logits[mask], own[mask])
    torch.testing.assert_close(loss, expected)


def test_other_images_are_no_negatives() -> None:
    student, teacher = torch.randn(2, 4, 8), torch.randn(2, 4, 8)
    mask = torch.tensor([[True] * 4, [False] * 4])
    before, _ = patch_infonce(student, teacher, mask, 0.1)
    teacher[1] = torch.randn(4, 8)
    after, _ = patch_infonce(student, teacher, mask, 0.1)
    torch.testing.assert_close(before, after, rtol=0, atol=0)


def test_computes_in_float32_under_autocast() -> None:
    student, teacher = torch.randn(2, 4, 8), torch.randn(2, 4, 8)
    mask = torch.ones(2, 4, dtype=torch.bool)
    plain, _ = patch_infonce(student, teacher, mask, 0.1)
    with torch.autocast('cpu', torch.bfloat16):
        mixed, _ = patch_infonce(student, teacher, mask, 0.1)
    torch.testing.assert_close(plain, mixed, rtol=0, atol=0)


def test_visible_tokens_get_no_gradient() -> None:
    student = torch.randn(1, 4, 8, requires_grad=True)
    mask = torch.tensor([[True, False, True, False]])
    patch_infonce(student, torch.randn(1, 4, 8), mask, 0.1)[0].backward()
    assert torch.all(student.grad[~mask] == 0)
    assert torch.all(student.grad[mask].abs().sum(-1) > 0)


def test_loss_weight() -> None:
    tokens = torch.randn(2, 4, 8), torch.randn(2, 4, 8), torch.ones(2, 4, dtype=torch.bool)
    half, _ = PatchInfoNCELoss(temperature=0.2, loss_weight=0.5)(*tokens)
    torch.testing.assert_close(half, 0.5 * patch_infonce(*tokens, 0.2)[0])


@pytest.mark.parametrize('temperature', [0., -1.])
def test_temperature_must_be_positive(temperature: float) -> None:
    with pytest.raises(InputError, match='temperature'):
        PatchInfoNCELoss(temperature=temperature)


def test_hit_rate_counts_masked_tokens_only() -> None:
    logits = torch.eye(4).repeat(2, 1, 1)
    logits[0, 0] = torch.tensor([0., 9., 0., 0.])
    mask = torch.tensor([[True, True, False, False], [True, True, False, False]])
    assert hit_rate(logits, mask).item() == pytest.approx(3 / 4)


def test_hand_computed_similarities() -> None:
    # angles in one plane, so the cosines are those of the differences
    def tokens(*degrees: float) -> torch.Tensor:
        angles = torch.tensor(degrees) * math.pi / 180
        return torch.stack([angles.cos(), angles.sin()], dim=-1)

    def cos(degrees: float) -> float:
        return math.cos(math.radians(degrees))

    teacher = 7 * torch.stack([tokens(0, 90), tokens(0, 10)])
    student = 3 * torch.stack([tokens(30, 200), tokens(60, 0)]).requires_grad_()
    mask = torch.tensor([[True, True], [True, False]])
    _, logits = patch_infonce(student, teacher, mask, temperature=0.2)
    positive, negative = similarities(logits, mask, temperature=0.2)
    assert positive.item() == pytest.approx((cos(30) + cos(110) + cos(60)) / 3, rel=1e-5)
    assert negative.item() == pytest.approx((cos(60) + cos(160) + cos(50)) / 3, rel=1e-5)
    assert not positive.requires_grad and not negative.requires_grad


def test_the_hardest_negative_is_the_nearest_other_position() -> None:
    logits = torch.tensor([[[9., 3., 4.], [5., -1., -2.], [0., 0., 0.]]])
    mask = torch.tensor([[True, True, False]])
    positive, negative = similarities(logits, mask, temperature=0.1)
    assert (positive.item(), negative.item()) == pytest.approx((0.4, 0.45))


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
