"""No step is taken with a loss or a gradient that is not finite."""

import copy

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmpretrain.registry import OPTIM_WRAPPERS

from conmim_mm.engine import NonFiniteError
from conmim_mm.errors import InputError

INPUTS = torch.tensor([[1., -2.], [3., 4.]])


def wrap(model: torch.nn.Module, kind: str = 'GuardedOptimWrapper', **kwargs) -> OptimWrapper:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    # a copy, as MMEngine takes keys out of it
    return OPTIM_WRAPPERS.build(dict(type=kind, optimizer=optimizer, **copy.deepcopy(kwargs)))


def snapshot(model: torch.nn.Module, wrapper: OptimWrapper) -> tuple[dict, dict]:
    return copy.deepcopy((model.state_dict(), wrapper.optimizer.state_dict()))


def assert_same(actual: tuple[dict, dict], expected: tuple[dict, dict]) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def loss_of(model: torch.nn.Module, value: float = 1.) -> torch.Tensor:
    return (model(INPUTS) * value).square().mean()


@pytest.mark.parametrize('clip_grad', [None, dict(max_norm=0.5), dict(max_norm=0.5, norm_type=1),
                                       dict(type='value', clip_value=0.5)])
@pytest.mark.parametrize('accumulate', [1, 2])
def test_equals_mmengines_where_all_is_finite(clip_grad: dict | None, accumulate: int) -> None:
    start = torch.nn.Linear(2, 1)
    results = []
    for kind in ('OptimWrapper', 'GuardedOptimWrapper'):
        hub = MessageHub.get_instance(f'{kind}{clip_grad}{accumulate}')
        model = copy.deepcopy(start)
        wrapper = wrap(model, kind, clip_grad=clip_grad, accumulative_counts=accumulate)
        for i in range(4):
            wrapper.update_params(loss_of(model, 1 + i))
        norms = hub.log_scalars.get('train/grad_norm')
        results.append((snapshot(model, wrapper), norms and norms.data[0].tolist()))
    assert_same(results[1][0], results[0][0])
    assert results[1][1] == results[0][1]
    assert not torch.equal(results[1][0][0]['weight'], start.weight)


@pytest.mark.parametrize('clip_grad', [None, dict(max_norm=0.5), dict(type='value', clip_value=1)])
@pytest.mark.parametrize('spoil, words', [
    (lambda loss: loss * torch.nan, 'the loss is not finite'),
    (lambda loss: loss + torch.inf, 'the loss is not finite'),  # its gradient is
    (lambda loss: (loss.register_hook(lambda gradient: gradient * torch.inf), loss)[1],
     'the gradient is not finite'),
], ids=['nan', 'inf', 'gradient'])
def test_stops_before_anything_changes(spoil, words: str, clip_grad: dict | None) -> None:
    model = torch.nn.Linear(2, 1)
    wrapper = wrap(model, clip_grad=clip_grad)
    wrapper.update_params(loss_of(model))
    before = snapshot(model, wrapper)
    with pytest.raises(NonFiniteError) as error:
        wrapper.update_params(spoil(loss_of(model)))
    message = str(error.value)
    assert message.startswith(f'{words} at step 2 (learning rate 0.1); the weights are as before')
    assert 'max_bad_steps' in message and '\n' not in message
    assert_same(snapshot(model, wrapper), before)
    assert model.weight.grad is None and not wrapper.stepped


def test_skips_as_many_as_allowed() -> None:
    hub = MessageHub.get_instance('skips')
    model = torch.nn.Linear(2, 1)
    wrapper = wrap(model, max_bad_steps=2)
    other = copy.deepcopy(model)
    reference = wrap(other, 'OptimWrapper')
    for bad in (False, True, True, False):
        wrapper.update_params(loss_of(model, torch.nan if bad else 1.))
        assert wrapper.stepped != bad
        if not bad:
            reference.update_params(loss_of(other))
    # as if the two bad ones had never been
    assert_same(snapshot(model, wrapper), snapshot(other, reference))
    assert wrapper.bad_steps == hub.get_scalar('train/bad_steps').current() == 2
    with pytest.raises(NonFiniteError, match='2 skipped so far'):
        wrapper.update_params(loss_of(model, torch.nan))


def test_older_checkpoints_have_no_count() -> None:
    """Those that have one are resumed in test_bad_numbers_hook.py."""
    model = torch.nn.Linear(2, 1)
    resumed = wrap(model, max_bad_steps=1)
    resumed.update_params(loss_of(model, torch.nan))
    resumed.load_state_dict(wrap(model, 'OptimWrapper').state_dict())
    assert resumed.bad_steps == 0


@pytest.mark.parametrize('bad_batch', [2, 3])
def test_one_bad_batch_drops_the_whole_accumulated_step(bad_batch: int) -> None:
    model = torch.nn.Linear(2, 1)
    wrapper = wrap(model, accumulative_counts=2, max_bad_steps=1)
    other = copy.deepcopy(model)
    reference = wrap(other, 'OptimWrapper', accumulative_counts=2)
    for i in range(6):
        wrapper.update_params(loss_of(model, torch.nan if i == bad_batch else 1. + i))
        if i not in (2, 3):
            reference.update_params(loss_of(other, 1. + i))
    assert wrapper.bad_steps == 1
    assert_same(snapshot(model, wrapper), snapshot(other, reference))


@pytest.mark.parametrize('kind', ['GuardedOptimWrapper', 'ConMIMAmpOptimWrapper'])
@pytest.mark.parametrize('saved_fused', [True, None])
def test_the_config_decides_whether_the_optimizer_is_fused(kind: str, saved_fused) -> None:
    def build(fused) -> tuple[torch.nn.Module, OptimWrapper]:
        model = copy.deepcopy(start)
        settings = dict(dtype='float16', loss_scale=4.) if kind == 'ConMIMAmpOptimWrapper' else {}
        return model, OPTIM_WRAPPERS.build(dict(
            type=kind, optimizer=torch.optim.AdamW(model.parameters(), lr=0.1, fused=fused),
            clip_grad=dict(max_norm=1.), **settings))

    start = torch.nn.Linear(2, 1)
    model, wrapper = build(saved_fused)
    wrapper.update_params(loss_of(model))
    state = copy.deepcopy(wrapper.state_dict())
    other, resumed = build(None if saved_fused else True)
    other.load_state_dict(model.state_dict())
    resumed.load_state_dict(state)
    assert resumed.optimizer.param_groups[0]['fused'] == (None if saved_fused else True)
    for module, its in ((model, wrapper), (other, resumed)):
        its.update_params(loss_of(module))
    torch.testing.assert_close(other.state_dict(), model.state_dict())


def test_negative_number_of_bad_steps() -> None:
    with pytest.raises(InputError, match='max_bad_steps must be at least 0, but is -1'):
        wrap(torch.nn.Linear(2, 1), max_bad_steps=-1)


def wrap_float16(model: torch.nn.Module, loss_scale: float, **kwargs) -> OptimWrapper:
    return wrap(model, 'ConMIMAmpOptimWrapper', dtype='float16', loss_scale=loss_scale, **kwargs)


def overflowing(model: torch.nn.Module) -> torch.Tensor:
    """A finite loss whose gradient is infinite once it is scaled."""
    return model.weight.sum() * 1e38


@pytest.mark.parametrize('clip_grad', [None, dict(max_norm=1.)])
def test_overflow_is_the_business_of_the_loss_scale(clip_grad: dict | None) -> None:
    model = torch.nn.Linear(2, 1)
    wrapper = wrap_float16(model, loss_scale=2.**10, clip_grad=clip_grad)
    before = snapshot(model, wrapper)
    wrapper.update_params(overflowing(model))
    assert_same(snapshot(model, wrapper), before)
    assert (wrapper.loss_scaler.get_scale(), wrapper.bad_steps, wrapper.stepped) == (2**9, 0, False)
    wrapper.update_params(loss_of(model))
    assert wrapper.stepped and not torch.equal(model.weight, before[0]['weight'])


def test_a_bad_loss_is_not_the_loss_scales() -> None:
    model = torch.nn.Linear(2, 1)
    wrapper = wrap_float16(model, loss_scale=2.**10, max_bad_steps=1)
    before = snapshot(model, wrapper)
    wrapper.update_params(loss_of(model, torch.nan))
    assert_same(snapshot(model, wrapper), before)
    assert (wrapper.loss_scaler.get_scale(), wrapper.bad_steps) == (2**10, 1)
    wrapper.update_params(loss_of(model))  # the scaler is ready for the next step
    assert wrapper.stepped


def test_a_loss_scale_below_1_is_bad() -> None:
    model = torch.nn.Linear(2, 1)
    wrapper = wrap_float16(model, loss_scale=2.)
    model.weight.register_hook(lambda gradient: gradient * torch.inf)
    wrapper.update_params(loss_of(model))
    assert wrapper.loss_scaler.get_scale() == 1.
    with pytest.raises(NonFiniteError, match='loss scale of float16 has fallen below 1 at step 2'):
        wrapper.update_params(loss_of(model))


def test_a_norm_that_overflows_is_bad_in_float16_too() -> None:
    """The gradients themselves are finite, so the loss scale could not help."""
    model = torch.nn.Linear(2, 1)
    wrapper = wrap_float16(model, loss_scale=1., clip_grad=dict(max_norm=1.))
    with pytest.raises(NonFiniteError, match='the gradient is not finite'):
        wrapper.update_params(model.weight.sum() * 3e38)
