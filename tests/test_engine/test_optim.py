import pytest
import torch
from mmpretrain.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS

from conmim_mm.errors import InputError

from ..toy import build_model, random_inputs


def build_wrapper(model: torch.nn.Module, **paramwise_cfg):
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type='MergedOptimWrapperConstructor',
            optim_wrapper_cfg=dict(
                type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05)),
            paramwise_cfg=paramwise_cfg))
    return constructor(model)


RECIPE = dict(
    flat_decay_mult=0.,
    custom_keys=dict(
        cls_token=dict(decay_mult=0.),
        pos_embed=dict(decay_mult=0.),
        relative_position_bias_table=dict(lr_mult=30., decay_mult=0.)))


def test_groups_follow_the_reference() -> None:
    model = build_model(use_abs_pos_emb=True)
    wrapper = build_wrapper(model, **RECIPE)
    setting = {
        id(param): (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups for param in group['params']
    }
    for name, param in model.named_parameters():
        if name.startswith('teacher.'):
            assert id(param) not in setting, name
            continue
        lr, decay = setting[id(param)]
        is_table = 'relative_position_bias_table' in name
        no_decay = param.ndim == 1 or is_table or name.endswith(('cls_token', 'pos_embed'))
        assert lr == pytest.approx(3e-2 if is_table else 1e-3), name
        assert decay == (0. if no_decay else 0.05), name


def test_one_group_per_setting() -> None:
    model = build_model()
    assert len(build_wrapper(model, **RECIPE).optimizer.param_groups) == 3
    same_rate = dict(RECIPE, custom_keys=dict(cls_token=dict(decay_mult=0.)))
    assert len(build_wrapper(model, **same_rate).optimizer.param_groups) == 2


def test_all_trainable_parameters_once() -> None:
    model = build_model()
    grouped = [p for g in build_wrapper(model, **RECIPE).optimizer.param_groups
               for p in g['params']]
    trainable = [p for p in model.parameters() if p.requires_grad]
    assert len(grouped) == len({id(p) for p in grouped}) == len(trainable)


@pytest.mark.parametrize('paramwise_cfg, words', [
    (dict(norm_decay_mult=0.), 'unknown keys'),
    (dict(custom_keys=dict(cls_token=dict(lr=1.))), 'unknown keys'),
    (dict(custom_keys=dict(rel_bias=dict(lr_mult=30.))), 'matches no parameter'),
])
def test_no_key_goes_unread(paramwise_cfg: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_wrapper(build_model(), **paramwise_cfg)


def amp_wrapper(model: torch.nn.Module, **kwargs):
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    return OPTIM_WRAPPERS.build(dict(type='ConMIMAmpOptimWrapper', optimizer=optimizer, **kwargs))


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_amp_step_is_close_to_float32(dtype: str) -> None:
    inputs = random_inputs()
    updates, grad_norms = [], []
    for mixed in (False, True):
        torch.manual_seed(0)
        model = build_model()
        before = model.neck.layers[0].weight.detach().clone()
        wrapper = (amp_wrapper(model, dtype=dtype, loss_scale=4., clip_grad=dict(max_norm=1e9))
                   if mixed else
                   OPTIM_WRAPPERS.build(dict(
                       type='OptimWrapper', clip_grad=dict(max_norm=1e9),
                       optimizer=torch.optim.SGD(
                           [p for p in model.parameters() if p.requires_grad], lr=0.1))))
        with wrapper.optim_context(model):
            loss = model.loss(inputs)['loss']
        wrapper.update_params(loss)
        updates.append(model.neck.layers[0].weight.detach() - before)
        grad_norms.append(wrapper.message_hub.get_scalar('train/grad_norm').current())
        assert model.neck.layers[0].weight.dtype == torch.float32
    assert grad_norms[1] == pytest.approx(grad_norms[0], rel=0.05)
    difference = (updates[1] - updates[0]).norm() / updates[0].norm()
    assert difference < 0.1
    assert difference > 0  # it did compute in lower precision


def test_float16_skips_a_step_that_overflows_and_lowers_the_scale() -> None:
    model = torch.nn.Linear(2, 1)
    wrapper = amp_wrapper(model, dtype='float16', loss_scale=2.**10)
    before = model.weight.detach().clone()
    wrapper.update_params(model(torch.full((1, 2), float('inf'))).sum())
    assert torch.equal(model.weight, before)
    assert wrapper.loss_scaler.get_scale() == 2.**9


def test_loss_scale_survives_a_checkpoint() -> None:
    wrapper = amp_wrapper(torch.nn.Linear(2, 1), dtype='float16', loss_scale=2.**7)
    wrapper.loss_scaler.scale(torch.ones(1))  # makes the scaler take up its start value
    other = amp_wrapper(torch.nn.Linear(2, 1), dtype='float16')
    other.load_state_dict(wrapper.state_dict())
    assert other.loss_scaler.get_scale() == 2.**7


def test_unknown_amp_dtype() -> None:
    with pytest.raises(InputError, match='float8'):
        amp_wrapper(torch.nn.Linear(2, 1), dtype='float8')
