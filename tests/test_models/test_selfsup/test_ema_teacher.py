import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS

from conmim_mm.errors import InputError

from ...toy import build_model, visible_cfg


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
        model.teacher.update(model, momentum)
    share = momentum**steps
    for key, value in model.teacher.named_parameters():
        torch.testing.assert_close(value, share * start[key] + (1 - share) * student[key])
    for key, value in model.teacher.named_buffers():
        assert torch.equal(value, buffers[key]), key


@pytest.mark.parametrize(('blocks', 'averaged'), [(-1, [1]), (0, [0]), ([0, -1], [0, 1])])
def test_without_projector_it_gives_normalised_tokens(blocks: int | list, averaged: list) -> None:
    model = build_model(visible_cfg() | dict(
        teacher=dict(type='EMABackboneTeacher', blocks=blocks)))
    assert not any('neck' in name for name, _ in model.teacher.named_parameters())
    images = torch.randn(2, 3, 32, 32)
    backbone = model.backbone  # the teacher's still equals it
    outputs = backbone.forward_blocks(
        backbone.embed_patches(images), backbone.attention_patterns((4, 4)))
    expected = sum(F.layer_norm(outputs[i], (24, )) for i in averaged) / len(averaged)
    torch.testing.assert_close(model.teacher(images), expected)
    with torch.no_grad():
        model.backbone.cls_token.add_(1.)
        model.neck.layers[0].weight.add_(1.)
    model.teacher.update(model, 0.)
    assert torch.equal(model.teacher.backbone.cls_token, model.backbone.cls_token)


def test_blocks_behind_the_targets_do_not_run() -> None:
    model = build_model(visible_cfg() | dict(teacher=dict(type='EMABackboneTeacher', blocks=0)))
    ran = []
    for block in model.teacher.backbone.blocks:
        block.register_forward_hook(lambda block, *_: ran.append(block))
    model.teacher(torch.randn(2, 3, 32, 32))
    assert ran == [model.teacher.backbone.blocks[0]]


def test_no_block_that_is_not_there() -> None:
    with pytest.raises(InputError, match='blocks has 2, but there are 2 blocks'):
        MODELS.build(visible_cfg() | dict(teacher=dict(type='EMABackboneTeacher', blocks=2)))
