import copy

import pytest
import torch
from mmpretrain.registry import MODELS

from conmim_mm.errors import InputError
from conmim_mm.models.patch_infonce import patch_infonce

from ..toy import build_model, model_cfg, random_inputs


def test_loss_is_the_papers() -> None:
    model = build_model()
    reference = copy.deepcopy(model)
    inputs = random_inputs()
    losses = model.loss(inputs)

    student = reference.neck(
        reference.backbone.forward_tokens(inputs['student_view'], inputs['mask']))[:, 1:]
    teacher = reference.teacher.neck(
        reference.teacher.backbone.forward_tokens(inputs['teacher_view']))[:, 1:]
    expected, _ = patch_infonce(student, teacher, inputs['mask'], 0.1)
    torch.testing.assert_close(losses['loss'], expected)
    assert set(losses) == {'loss', 'hit_rate', 'positive_similarity', 'negative_similarity'}


def test_gradients_reach_the_student_only() -> None:
    model = build_model()
    model.loss(random_inputs())['loss'].backward()
    for name, param in model.named_parameters():
        if name.startswith('teacher.'):
            assert not param.requires_grad and param.grad is None, name
        else:
            assert param.grad is not None, name  # so DDP needs no find_unused_parameters


def test_teacher_starts_as_a_copy_and_stays_in_train_mode() -> None:
    model = build_model()
    model.train()
    assert model.teacher.neck.layers[1].training
    for part in ('backbone', 'neck'):
        student = getattr(model, part).state_dict()
        teacher = getattr(model.teacher, part).state_dict()
        assert all(torch.equal(student[key], teacher[key]) for key in student)
        assert not any(student[key].data_ptr() == teacher[key].data_ptr()
                       for key in student if student[key].numel() > 1)


def test_teacher_update_is_the_closed_form() -> None:
    model = build_model()
    momentum, steps = 0.9, 3
    start = {key: value.clone() for key, value in model.teacher.named_parameters()}
    buffers = {key: value.clone() for key, value in model.teacher.named_buffers()}
    student = dict(model.backbone.named_parameters(prefix='backbone')) | dict(
        model.neck.named_parameters(prefix='neck'))
    with torch.no_grad():
        for param in student.values():
            param.add_(torch.randn_like(param))
        model.neck.layers[1].running_mean.add_(1.)
    for _ in range(steps):
        model.teacher.update(model.backbone, model.neck, momentum)
    share = momentum**steps
    for key, value in model.teacher.named_parameters():
        torch.testing.assert_close(value, share * start[key] + (1 - share) * student[key])
    for key, value in model.teacher.named_buffers():
        assert torch.equal(value, buffers[key]), key


def test_momentum_zero_copies_the_student() -> None:
    model = build_model()
    with torch.no_grad():
        model.backbone.cls_token.add_(1.)
    model.teacher.update(model.backbone, model.neck, 0.)
    assert torch.equal(model.teacher.backbone.cls_token, model.backbone.cls_token)


def test_checkpoint_without_teacher_starts_it_from_the_student() -> None:
    trained = build_model()
    weights = {key: value for key, value in trained.state_dict().items()
               if not key.startswith('teacher.')}
    torch.manual_seed(1)
    model = build_model()
    model.load_state_dict(weights)  # strict: the teacher's keys are filled in
    assert torch.equal(model.teacher.backbone.cls_token, trained.backbone.cls_token)


def test_any_size_divisible_by_the_patch() -> None:
    model = build_model(img_size=(16, 48))
    losses = model.loss(random_inputs(size=(16, 48)))
    assert losses['loss'].isfinite()


def test_projector_shape_and_parameters() -> None:
    neck = build_model().neck
    assert neck(torch.randn(2, 5, 24)).shape == (2, 5, 16)
    width, hidden, out = 24, 32, 16
    assert sum(p.numel() for p in neck.parameters()) == (
        width * hidden + hidden * hidden + hidden * out + 2 * 2 * hidden)


def test_projector_normalises_over_all_tokens_of_all_images() -> None:
    projected = build_model().neck(torch.randn(8, 5, 24)).flatten(0, 1)
    torch.testing.assert_close(projected.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(projected.std(0, unbiased=False), torch.ones(16), atol=0.01, rtol=0)


def test_extract_feat_and_preprocessor() -> None:
    model = build_model().eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    data = model.data_preprocessor(dict(inputs=images))
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    torch.testing.assert_close(data['inputs'], (images.float() - mean) / std)
    features, = model(**data, mode='tensor')
    assert features.shape == (2, 17, 24)


def test_preprocessor_normalises_views_and_leaves_the_mask() -> None:
    preprocessor = MODELS.build(dict(type='ConMIMDataPreprocessor', mean=(0, 0, 0), std=(2, 2, 2),
                                     to_rgb=True))
    view = torch.arange(12, dtype=torch.uint8).view(1, 3, 2, 2)
    mask = torch.tensor([[True, False]])
    inputs = preprocessor(dict(inputs=dict(student_view=view, teacher_view=view, mask=mask)))[
        'inputs']
    torch.testing.assert_close(inputs['student_view'], view.flip(1) / 2)
    torch.testing.assert_close(inputs['teacher_view'], view.flip(1) / 2)
    assert torch.equal(inputs['mask'], mask)


def test_needs_a_mask_token() -> None:
    with pytest.raises(InputError, match='use_mask_token=True'):
        MODELS.build(model_cfg(use_mask_token=False))
