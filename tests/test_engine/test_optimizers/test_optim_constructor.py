import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS

from conmim_mm.engine.optimizers import amp_optim_wrapper
from conmim_mm.errors import InputError

from ...toy import backbone_cfg, build_model, random_inputs


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


def test_a_part_has_another_rate_and_decays_as_it_did() -> None:
    model = build_model()
    wrapper = build_wrapper(model, flat_decay_mult=0., custom_keys={
        'neck.': dict(lr_mult=10., decay_mult=None)})
    setting = {id(param): (group['lr'], group['weight_decay'])
               for group in wrapper.optimizer.param_groups for param in group['params']}
    for name, param in model.neck.named_parameters():
        assert setting[id(param)] == (pytest.approx(1e-2), 0. if param.ndim == 1 else 0.05), name


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
def test_amp_step_is_close_to_float32(dtype: str, monkeypatch) -> None:
    monkeypatch.setattr(amp_optim_wrapper, 'has_cpu_bfloat16', lambda: True)
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


@pytest.mark.parametrize('has_instructions, dtype, autocasts', [
    (True, 'bfloat16', True), (False, 'bfloat16', False), (False, 'float16', True)])
def test_no_emulated_bfloat16(has_instructions: bool, dtype: str, autocasts: bool,
                              monkeypatch) -> None:
    monkeypatch.setattr(amp_optim_wrapper, 'has_cpu_bfloat16', lambda: has_instructions)
    model = torch.nn.Linear(2, 1)
    with amp_wrapper(model, dtype=dtype).optim_context(model):
        assert torch.is_autocast_enabled('cpu') == autocasts


def test_unknown_amp_dtype() -> None:
    with pytest.raises(InputError, match='float8'):
        amp_wrapper(torch.nn.Linear(2, 1), dtype='float8')


DECAY = dict(layer_decay_rate=0.65, flat_decay_mult=0.,
             custom_keys=dict(cls_token=dict(decay_mult=0.), head=dict(lr_mult=2.)))


def build_decaying(model: torch.nn.Module, paramwise_cfg: dict):
    return OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type='LayerDecayOptimWrapperConstructor',
            optim_wrapper_cfg=dict(
                type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05)),
            paramwise_cfg=paramwise_cfg))(model)


def task_models() -> dict:
    """The toy backbone in each toolbox, with the prefixes its models have."""
    import mmdet.models  # noqa: F401
    import mmseg.models  # noqa: F401
    from mmengine.registry import MODELS

    backbone = dict(backbone_cfg(use_abs_pos_emb=True, out_type='featmap'),
                    type='mmpretrain.ConMIMViT')
    classifier = dict(type='mmpretrain.ImageClassifier',
                      backbone=dict(backbone, out_type='avg_featmap'),
                      head=dict(type='LinearClsHead', in_channels=24, num_classes=5))
    segmentor = dict(type='mmseg.EncoderDecoder', backbone=backbone,
                     decode_head=dict(type='FCNHead', in_channels=24, channels=8, num_classes=5))
    detector = dict(type='mmdet.SingleStageDetector', backbone=backbone,
                    neck=dict(type='mmpretrain.SimpleFeaturePyramid', in_channels=24,
                              out_channels=8, num_outs=5),
                    bbox_head=dict(type='RetinaHead', num_classes=5, in_channels=8, stacked_convs=1,
                                   feat_channels=8))
    return dict(mmpretrain=classifier, mmseg=segmentor, mmdet=detector), MODELS


@pytest.mark.parametrize('toolbox', ['mmpretrain', 'mmseg', 'mmdet'])
def test_layer_decay_is_the_closed_form(toolbox: str) -> None:
    configs, registry = task_models()
    with DefaultScope.overwrite_default_scope(toolbox):
        model = registry.build(configs[toolbox])
    wrapper = build_decaying(model, DECAY)
    setting = {id(param): (group['lr'], group['weight_decay'])
               for group in wrapper.optimizer.param_groups for param in group['params']}
    layers = {'cls_token': 0, 'mask_token': 0, 'pos_embed': 0, 'patch_embed': 0, 'blocks.0': 1,
              'blocks.1': 2, 'norm': 3, 'fc_norm': 3, 'rel_pos_bias': 3}
    seen = set()
    for name, param in model.named_parameters():
        own = name.removeprefix('backbone.')
        layer = next((part for part in layers if own.startswith(part)), None)
        if own == name or layer is None:
            assert own == name, name
            scale = 2. if 'head' in name else 1.
        else:
            scale = 0.65**(3 - layers[layer])
            seen.add(layer)
        lr, decay = setting[id(param)]
        assert lr == pytest.approx(1e-3 * scale), name
        custom = 'cls_token' in name or 'head' in name
        expected = 0. if 'cls_token' in name or (param.ndim == 1 and not custom) else 0.05
        assert decay == expected, name
    assert len(seen) == 8
    # layers 0 to 2 and the full rate, each with and without decay, and the heads
    assert len(wrapper.optimizer.param_groups) <= 9


@pytest.mark.parametrize('paramwise_cfg, words', [
    (dict(), 'layer_decay_rate must be above 0'),
    (dict(layer_decay_rate=1.5), 'layer_decay_rate must be above 0'),
    (dict(layer_decay_rate=0.5, num_layers=12), 'unknown keys'),
])
def test_bad_layer_decay(paramwise_cfg: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_decaying(build_model(), paramwise_cfg)


def test_layer_decay_needs_layers() -> None:
    with pytest.raises(InputError, match='needs a backbone with layers'):
        build_decaying(torch.nn.Linear(2, 2), DECAY)
