import math

import pytest
import torch

from conmim_mm.errors import InputError
from conmim_mm.models.losses.patch_infonce_loss import (
    PatchInfoNCELoss,
    cosine_similarities,
    patch_infonce,
)


def test_hand_computed_loss() -> None:
    # Two patches with orthogonal teacher tokens; the student's first token matches its own.
    teacher = torch.tensor([[[2., 0.], [0., 5.]]])
    student = torch.tensor([[[3., 0.], [1., 1.]]])
    torch.testing.assert_close(cosine_similarities(student, teacher)[0, 0], torch.tensor([1., 0.]))
    loss = patch_infonce(student, teacher, torch.tensor([[True, False]]), temperature=0.5)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)))

    # The second token lies between both: chance.
    loss = patch_infonce(student, teacher, torch.tensor([[False, True]]), temperature=0.5)
    assert loss.item() == pytest.approx(math.log(2))


def test_mean_runs_over_all_masked_tokens_of_the_batch() -> None:
    student, teacher = torch.randn(2, 4, 8), torch.randn(2, 4, 8)
    mask = torch.tensor([[True, False, False, False], [True, True, True, False]])
    loss = patch_infonce(student, teacher, mask, 0.1)
    logits = cosine_similarities(student, teacher) / 0.1
    own = torch.arange(4).expand(2, 4)
    expected = torch.nn.functional.cross_entropy(logits[mask], own[mask])
    torch.testing.assert_close(loss, expected)


def test_other_images_are_no_negatives() -> None:
    student, teacher = torch.randn(2, 4, 8), torch.randn(2, 4, 8)
    mask = torch.tensor([[True] * 4, [False] * 4])
    before = patch_infonce(student, teacher, mask, 0.1)
    teacher[1] = torch.randn(4, 8)
    after = patch_infonce(student, teacher, mask, 0.1)
    torch.testing.assert_close(before, after, rtol=0, atol=0)


def test_computes_in_float32_under_autocast() -> None:
    student, teacher = torch.randn(2, 4, 8), torch.randn(2, 4, 8)
    mask = torch.ones(2, 4, dtype=torch.bool)
    plain = patch_infonce(student, teacher, mask, 0.1)
    with torch.autocast('cpu', torch.bfloat16):
        mixed = patch_infonce(student, teacher, mask, 0.1)
    torch.testing.assert_close(plain, mixed, rtol=0, atol=0)


def test_loss_weight() -> None:
    tokens = torch.randn(2, 4, 8), torch.randn(2, 4, 8), torch.ones(2, 4, dtype=torch.bool)
    half = PatchInfoNCELoss(temperature=0.2, loss_weight=0.5)(*tokens)
    torch.testing.assert_close(half, 0.5 * patch_infonce(*tokens, 0.2))


@pytest.mark.parametrize('temperature', [0., -1.])
def test_temperature_must_be_positive(temperature: float) -> None:
    with pytest.raises(InputError, match='temperature'):
        PatchInfoNCELoss(temperature=temperature)
