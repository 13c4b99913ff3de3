import copy
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import build_optim_wrapper
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from conmim_mm.errors import InputError
from conmim_mm.models.losses.patch_infonce_loss import patch_infonce

from ...toy import backbone_cfg, build_model, model_cfg, random_inputs, visible_cfg


def test_loss_is_the_papers() -> None:
    model = build_model()
    reference = copy.deepcopy(model)
    inputs = random_inputs()
    losses = model.loss(inputs)

    student = reference.neck(
        reference.backbone.forward_tokens(inputs['student_view'], inputs['mask']))[:, 1:]
    teacher = reference.teacher.neck(
        reference.teacher.backbone.forward_tokens(inputs['teacher_view']))[:, 1:]
    expected = patch_infonce(student, teacher, inputs['mask'], 0.1)
    torch.testing.assert_close(losses['loss'], expected)
    assert set(losses) == {'loss', 'hit_rate', 'positive_similarity', 'negative_similarity'}


def test_with_a_decoder_the_loss_is_of_the_holes() -> None:
    model = build_model(visible_cfg(projects=True))
    reference = copy.deepcopy(model)
    inputs = random_inputs()
    mask = inputs['mask']
    losses = model.loss(inputs)

    visible = reference.backbone.forward_visible(inputs['student_view'], mask)
    own = torch.stack([row.nonzero()[:, 0] for row in mask])
    shown = torch.stack([row.nonzero()[:, 0] for row in ~mask])
    holes = reference.neck(reference.decoder(visible, shown, own, (4, 4)))
    teacher = reference.teacher(inputs['teacher_view'])[:, 1:]
    log_probs = (F.normalize(holes, dim=-1) @ F.normalize(teacher, dim=-1).transpose(1, 2)
                 / 0.1).log_softmax(dim=-1)
    expected = -log_probs.gather(2, own.unsqueeze(-1)).mean()
    torch.testing.assert_close(losses['loss'], expected)
    hits = (log_probs.argmax(dim=-1) == own).float().mean()
    torch.testing.assert_close(losses['hit_rate'], hits)


def test_a_share_of_the_holes_is_decoded_anew_at_every_step() -> None:
    model = build_model(visible_cfg(projects=True) | dict(decoded_share=0.25))
    inputs = random_inputs()
    seen = []
    model.head.loss_module.register_forward_hook(lambda module, args, loss: seen.append(args))
    for _ in range(2):
        model.loss(inputs)
    for student, _, asked in seen:
        assert (asked.sum(dim=1) == 2).all() and not (asked & ~inputs['mask']).any()
        assert student[asked].any(dim=1).all()
    assert not torch.equal(seen[0][2], seen[1][2])
    with pytest.raises(InputError, match='decoded_share must lie in'):
        MODELS.build(visible_cfg() | dict(decoded_share=0.))


@pytest.mark.parametrize('cfg', [model_cfg(), visible_cfg()], ids=['whole', 'visible'])
def test_several_masks_are_as_many_images(cfg: dict) -> None:
    model = build_model(cfg)
    inputs = random_inputs()
    masks = torch.stack([inputs['mask'], ~inputs['mask'], inputs['mask'].flip(1)], dim=1)
    losses = copy.deepcopy(model).loss(inputs | dict(mask=masks))
    repeated = {key: inputs[key].repeat_interleave(3, dim=0) for key in
                ('student_view', 'teacher_view')}
    teacher = model.teacher(inputs['teacher_view']).repeat_interleave(3, dim=0)
    model.teacher.forward = lambda images: teacher  # its batch norms see each image once
    torch.testing.assert_close(losses, model.loss(repeated | dict(mask=masks.flatten(0, 1))))


def test_a_mask_token_that_nobody_uses_is_refused() -> None:
    with pytest.raises(InputError, match='use_mask_token=False'):
        MODELS.build(visible_cfg() | dict(backbone=backbone_cfg()))


@pytest.mark.parametrize('weights', ['teacher', 'student'])
def test_predictions_are_mean_patch_tokens(weights: str) -> None:
    model = MODELS.build(model_cfg() | dict(predict_with=weights)).eval()
    model.init_weights()
    model.teacher.backbone.patch_embed.proj.weight.data.mul_(2)  # else both are alike
    levels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    samples = [DataSample().set_gt_label(label) for label in (3, 1)]
    found = model.val_step(dict(inputs=[*levels], data_samples=samples))
    assert [int(sample.gt_label) for sample in found] == [3, 1]

    backbone = (model.teacher if weights == 'teacher' else model).backbone
    images = model.data_preprocessor(dict(inputs=levels))['inputs']
    expected = backbone.forward_tokens(images)[:, 1:].mean(dim=1)
    torch.testing.assert_close(torch.stack([sample.features for sample in found]), expected)


def test_other_weights_to_predict_with_are_refused() -> None:
    with pytest.raises(InputError, match="must be 'teacher' or 'student', not 'both'"):
        MODELS.build(model_cfg() | dict(predict_with='both'))


@pytest.mark.parametrize('cfg', [
    model_cfg(), visible_cfg(), visible_cfg('SelfAttentionDecoder', projects=True),
    visible_cfg(use_shared_rel_pos_bias=False, use_sincos_pos_emb=True)])
def test_gradients_reach_the_student_only(cfg: dict) -> None:
    model = build_model(cfg)
    model.loss(random_inputs())['loss'].backward()
    for name, param in model.named_parameters():
        if name.startswith('teacher.'):
            assert not param.requires_grad and param.grad is None, name
        else:
            # so DDP needs no find_unused_parameters
            assert name == 'backbone.pos_embed' or param.grad is not None, name


def test_extract_feat_and_preprocessor() -> None:
    model = build_model().eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    data = model.data_preprocessor(dict(inputs=images))
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    torch.testing.assert_close(data['inputs'], (images.float() - mean) / std)
    features, = model(**data, mode='tensor')
    assert features.shape == (2, 17, 24)


class CountWaits(TorchDispatchMode):
    """Counts operators for which the host must know what the device has computed."""

    waiting = {'_local_scalar_dense', 'nonzero', 'masked_select', 'equal', '_unique2',
               'is_nonzero', 'repeat_interleave.Tensor'}

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().removeprefix('aten::')
        by_booleans = name.startswith('index') and any(
            isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)
            for arg in args if isinstance(arg, list | tuple) for index in arg)
        if by_booleans or name in self.waiting or name.partition('.')[0] in self.waiting:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


class CountLists(TorchFunctionMode):
    """Counts tensors made Python lists: on a CPU no operator shows that."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += getattr(func, '__name__', '') in ('tolist', 'numpy', 'cpu')
        return func(*args, **(kwargs or {}))


def test_counts_waits() -> None:
    x = torch.ones(3)
    with CountWaits() as waits, CountLists() as lists:
        x[x > 0]
        x[x > 0] = 2.
        x.sum().item()
        x.tolist()
    assert waits.counts['_local_scalar_dense'] == 1 and waits.counts.total() == 3
    assert lists.count == 1


@pytest.mark.parametrize('dtype', [None, torch.bfloat16])
def test_loss_and_gradients_wait_for_nothing(dtype: torch.dtype | None) -> None:
    model = build_model(drop_path_rate=0.2)
    inputs = random_inputs()
    with CountWaits() as waits, CountLists() as lists:
        with torch.autocast('cpu', dtype, enabled=dtype is not None):
            loss = model.loss(inputs)['loss']
        loss.backward()
    assert not waits.counts and not lists.count


@pytest.mark.parametrize('settings', [
    dict(type='mmpretrain.GuardedOptimWrapper'),
    dict(type='mmpretrain.ConMIMAmpOptimWrapper', dtype='float16', loss_scale=4.),
], ids=['float32', 'float16'])
@pytest.mark.parametrize('clip_grad', [None, dict(max_norm=3.)])
def test_a_whole_step_waits_once(settings: dict, clip_grad: dict | None) -> None:
    """For the guard, which reads whether loss and gradient are finite."""
    model = build_model()
    wrapper = build_optim_wrapper(model, dict(
        optimizer=dict(type='AdamW', lr=1e-3, fused=True), clip_grad=clip_grad,
        constructor='mmpretrain.MergedOptimWrapperConstructor', **settings))
    with CountWaits() as waits, CountLists() as lists:
        model.train_step(dict(inputs=random_inputs()), wrapper)
        model.teacher.update(model, 0.9)
    assert wrapper.stepped
    assert not waits.counts and lists.count == 1


def test_a_decoder_waits_once_for_the_number_of_visible_patches() -> None:
    inputs = random_inputs()
    model = build_model(visible_cfg())
    with CountWaits() as waits, CountLists() as lists:
        model.loss(inputs)['loss'].backward()
    assert not waits.counts and lists.count == 1


@pytest.mark.slow
def test_compiles_as_one_graph() -> None:
    """No shape depends on the mask and nothing is read back, so nothing breaks the graph."""
    model = build_model()
    inputs = random_inputs()
    expected = copy.deepcopy(model).loss(inputs)

    compiled = torch.compile(model.loss, fullgraph=True, backend='aot_eager')
    losses = compiled(inputs)
    losses['loss'].backward()
    torch.testing.assert_close(losses, expected)
    assert model.backbone.mask_token.grad is not None
    # another mask with other numbers of holes needs no new graph
    inputs['mask'] = torch.rand(inputs['mask'].shape) < 0.5
    with torch.compiler.set_stance('fail_on_recompile'):
        compiled(inputs)


def test_needs_a_mask_token() -> None:
    with pytest.raises(InputError, match='use_mask_token=True'):
        MODELS.build(model_cfg(use_mask_token=False))
