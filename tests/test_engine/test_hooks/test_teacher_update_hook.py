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


@pytest.mark.parametrize('iterations, accumulated, end, renewals', [
    (200, 1, 1., 10.), (14000, 1, 1., 10.), (4000, 2, 1., 40.), (2000, 1, 0.999, 11.)])
def test_as_many_renewals_in_a_run_of_any_length(iterations: int, accumulated: int, end: float,
                                                 renewals: float) -> None:
    hook = TeacherUpdateHook(momentum=None, end_momentum=end, renewals=renewals)
    moved = [1 - hook.momentum_at(iteration, iterations, accumulated)
             for iteration in range(0, iterations, accumulated)]
    # the first step counts and the end of the curve does not: half of what lies between them more
    assert sum(moved) == pytest.approx(renewals + (moved[0] - (1 - end)) / 2, rel=1e-9)


def test_momentum_by_the_length_of_the_run() -> None:
    hook = TeacherUpdateHook(momentum=None)
    assert hook.momentum_at(0, 2000) == pytest.approx(0.99, abs=1e-12)
    assert hook.momentum_at(1000, 2000) == pytest.approx(0.995, abs=1e-12)
    assert hook.momentum_at(0, 20000) == pytest.approx(0.999, abs=1e-12)
    assert hook.momentum_at(0, 5) == 0.  # a run too short for them: the teacher starts as a copy


@pytest.mark.parametrize('settings', [
    dict(momentum=1.1), dict(momentum=None, end_momentum=-0.1), dict(momentum=None, renewals=0.)])
def test_hook_refuses_what_is_no_momentum(settings: dict) -> None:
    with pytest.raises(InputError, match='teacher'):
        TeacherUpdateHook(**settings)


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
