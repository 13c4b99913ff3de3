import math

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper

from conmim_mm.engine.hooks.teacher_update_hook import TeacherUpdateHook
from conmim_mm.engine.schedulers.curves import (
    cosine,
    num_optimizer_steps,
    optimizer_step,
    warmup_cosine,
)
from conmim_mm.engine.schedulers.warmup_cosine_lr import WarmupCosineLR
from conmim_mm.errors import InputError


def reference_schedule(base: float, final: float, steps: int, warmup: int) -> np.ndarray:
    """As the golden values' README words it: linspace with both ends, then a cosine."""
    rest = np.arange(steps - warmup)
    cosine_part = final + 0.5 * (base - final) * (1 + np.cos(math.pi * rest / len(rest)))
    return np.concatenate([np.linspace(0, base, warmup), cosine_part])


@pytest.mark.parametrize('warmup', [0, 1, 2, 7, 20])
def test_warmup_cosine_is_the_reference(warmup: int) -> None:
    expected = reference_schedule(1.5e-3, 1e-5, 50, warmup)
    actual = [warmup_cosine(1.5e-3, 1e-5, step, 50, warmup) for step in range(50)]
    assert actual == pytest.approx(expected.tolist(), rel=1e-12, abs=1e-15)


def test_momentum_counts_optimizer_steps() -> None:
    hook = TeacherUpdateHook(momentum=0.9)
    plain = [hook.momentum_at(step, 5) for step in range(5)]
    accumulated = [hook.momentum_at(i, 10, accumulative_counts=2) for i in range(10)]
    assert accumulated[::2] == accumulated[1::2] == plain


@pytest.mark.parametrize('momentum', [-0.1, 1.1])
def test_momentum_must_be_a_share(momentum: float) -> None:
    with pytest.raises(InputError, match='momentum'):
        TeacherUpdateHook(momentum=momentum)


def test_optimizer_steps() -> None:
    assert [optimizer_step(i, 3) for i in range(7)] == [0, 0, 0, 1, 1, 1, 2]
    assert num_optimizer_steps(7, 3) == 3
    assert cosine(1., 0., 5, 10) == pytest.approx(0.5)


def make_wrapper(accumulative_counts: int = 1) -> OptimWrapper:
    params = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [dict(params=params[:1]), dict(params=params[1:], lr=0.3)]
    return OptimWrapper(
        torch.optim.AdamW(groups, lr=0.01), accumulative_counts=accumulative_counts)


def rates(scheduler: WarmupCosineLR, wrapper: OptimWrapper, iterations: int) -> list[list[float]]:
    seen = []
    for _ in range(iterations):
        seen.append([group['lr'] for group in wrapper.optimizer.param_groups])
        wrapper.step()
        scheduler.step()
    return seen


def test_scheduler_keeps_the_factor_of_each_group() -> None:
    wrapper = make_wrapper()
    scheduler = WarmupCosineLR(wrapper, warmup=3, eta_min=1e-3, end=10, by_epoch=False)
    expected = [warmup_cosine(0.01, 1e-3, step, 10, 3) for step in range(10)]
    seen = rates(scheduler, wrapper, 10)
    assert [pair[0] for pair in seen] == pytest.approx(expected, rel=1e-12)
    assert [pair[1] for pair in seen] == pytest.approx([30 * lr for lr in expected], rel=1e-12)


def test_scheduler_in_epochs_changes_every_step() -> None:
    wrapper = make_wrapper()
    scheduler = WarmupCosineLR.build_iter_from_epoch(
        wrapper, warmup=1, end=4, epoch_length=5, eta_min=0.)
    expected = [warmup_cosine(0.01, 0., step, 20, 5) for step in range(20)]
    assert [pair[0] for pair in rates(scheduler, wrapper, 20)] == pytest.approx(expected)


def test_scheduler_counts_optimizer_steps_when_accumulating() -> None:
    wrapper = make_wrapper(accumulative_counts=2)
    scheduler = WarmupCosineLR(wrapper, warmup=4, eta_min=0., end=12, by_epoch=False)
    expected = [warmup_cosine(0.01, 0., step, 6, 2) for step in range(6)]
    seen = [pair[0] for pair in rates(scheduler, wrapper, 12)]
    assert seen[::2] == seen[1::2] == pytest.approx(expected)


def test_a_resumed_run_may_be_longer_than_planned() -> None:
    wrapper = make_wrapper()
    planned = WarmupCosineLR(wrapper, warmup=2, eta_min=0., end=6, by_epoch=False)
    rates(planned, wrapper, 6)
    other = make_wrapper()
    longer = WarmupCosineLR(other, warmup=2, eta_min=0., end=20, by_epoch=False)
    longer.load_state_dict(planned.state_dict())
    other.step()
    longer.step()
    expected = warmup_cosine(0.01, 0., longer.last_step, 20, 2)
    assert other.optimizer.param_groups[0]['lr'] == pytest.approx(expected)
    assert expected > 0.007


@pytest.mark.parametrize('settings, words', [
    (dict(warmup=10, end=10, by_epoch=False), 'shorter than the run'),
    (dict(warmup=1, end=10), 'convert_to_iter_based=True'),
])
def test_scheduler_refuses(settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        WarmupCosineLR(make_wrapper(), eta_min=0., **settings)
