"""The hooks, in real runs of a toy model."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from conmim_mm.checkpoint.differences import check_state_dict
from conmim_mm.engine.hooks.teacher_update_hook import TeacherUpdateHook
from conmim_mm.errors import InputError

from ...toy import build_model, run_cfg


class TeacherTrace(Hook):
    """Notes after every iteration whether student and teacher moved."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.student_moved, self.teacher_moved, self.error = [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        model = runner.model
        self.student = model.backbone.cls_token.detach().clone()
        self.teacher = model.teacher.backbone.cls_token.clone()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        model = runner.model
        student, teacher = model.backbone.cls_token, model.teacher.backbone.cls_token
        self.student_moved.append(not torch.equal(student, self.student))
        self.teacher_moved.append(not torch.equal(teacher, self.teacher))
        momentum = runner.message_hub.get_scalar('train/momentum').current() \
            if 'train/momentum' in runner.message_hub.log_scalars else 1.
        expected = momentum * self.teacher + (1 - momentum) * student
        self.error.append((teacher - expected).abs().max().item())


def train_traced(images, tmp_path, **settings) -> TeacherTrace:
    runner, trace = Runner.from_cfg(run_cfg(images, tmp_path, **settings)), TeacherTrace()
    runner.register_hook(trace)
    runner.train()
    return trace


def test_teacher_follows_every_optimizer_step(images, tmp_path) -> None:
    trace = train_traced(images, tmp_path)
    # the first step has a learning rate of 0, so there the student stands still
    assert trace.student_moved == [False] + [True] * 5
    assert trace.teacher_moved[1:] == [True] * 5
    assert max(trace.error) < 1e-7


def test_teacher_waits_while_gradients_accumulate(images, tmp_path) -> None:
    trace = train_traced(images, tmp_path, epochs=4, accumulate=2)
    assert len(trace.teacher_moved) == 12
    assert trace.student_moved[2:] == [False, True] * 5
    assert trace.teacher_moved[2:] == [False, True] * 5


def test_hook_refuses_a_model_without_teacher() -> None:
    with pytest.raises(InputError, match='model with a teacher'):
        TeacherUpdateHook().before_train(SimpleNamespace(model=torch.nn.Linear(1, 1)))


def test_fewer_images_than_a_batch(images, tmp_path) -> None:
    by_epoch = run_cfg(images, tmp_path, batch_size=16)
    with pytest.raises(InputError, match='fewer images than one batch'):
        Runner.from_cfg(by_epoch).train()

    by_iter = run_cfg(images, tmp_path / 'iter', batch_size=16, param_scheduler=None,
                      train_cfg=dict(type='IterBasedTrainLoop', max_iters=2))
    with pytest.raises(InputError, match='12 images are fewer than one batch .16 images'):
        Runner.from_cfg(by_iter).train()


def test_resume_by_iterations_equals_an_undisturbed_run(images, tmp_path) -> None:
    def cfg(work_dir: str, **overrides) -> dict:
        loop = run_cfg(images, tmp_path / work_dir, **overrides)
        loop['train_dataloader']['sampler'] = dict(type='InfiniteSeededSampler', shuffle=True)
        return loop | dict(
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=8),
            param_scheduler=dict(type='WarmupCosineLR', warmup=2, eta_min=1e-5, by_epoch=False),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4)))

    whole = Runner.from_cfg(cfg('whole'))
    whole.train()
    resumed = Runner.from_cfg(
        cfg('resumed', resume=True, load_from=str(tmp_path / 'whole' / 'iter_4.pth')))
    resumed.train()
    assert resumed.iter == 8
    weights = whole.model.state_dict()
    for key, value in resumed.model.state_dict().items():
        assert torch.equal(value, weights[key]), key


def test_check_state_dict_lists_what_is_wrong() -> None:
    own = build_model().state_dict()
    check_state_dict(own, {f'module.{key}': value for key, value in own.items()})
    check_state_dict(own, {k: v for k, v in own.items() if not k.startswith('teacher.')})

    given = dict(own, extra=torch.zeros(1))
    del given['backbone.cls_token']
    with pytest.raises(InputError) as error:
        check_state_dict(own, given)
    assert '1 missing: backbone.cls_token; 1 unexpected: extra' in str(error.value)
