import torch

from ...toy import build_model


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
