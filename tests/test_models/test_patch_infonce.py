import math

import pytest
import torch

from conmim_mm.errors import InputError
from conmim_mm.models.head import hit_rate
from conmim_mm.models.patch_infonce import PatchInfoNCELoss, patch_infonce


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
