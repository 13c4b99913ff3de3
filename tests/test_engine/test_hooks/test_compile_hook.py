"""A run with compiled blocks and projectors is the run it is without."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch._dynamo.utils import counters

from conmim_mm.engine import CompileHook
from conmim_mm.engine.hooks import compile_hook
from conmim_mm.engine.hooks.compile_hook import regions_of
from conmim_mm.errors import InputError

from ...toy import build_model, model_cfg, run_cfg

STEPS = 6


@pytest.fixture(autouse=True)
def _nothing_compiled_yet():
    torch.compiler.reset()
    counters.clear()
    yield
    torch.compiler.reset()


class Trace(Hook):
    """Notes losses; lets nothing be compiled after the first step."""

    def __init__(self) -> None:
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'].item())
        torch.compiler.set_stance('fail_on_recompile')

    def after_train(self, runner):
        torch.compiler.set_stance('default')


def train(images, work_dir, hook: dict | None, **overrides) -> tuple[Runner, list[float]]:
    work_dir.mkdir(exist_ok=True)
    cfg = run_cfg(images, work_dir, **overrides)
    cfg['optim_wrapper']['type'] = 'GuardedOptimWrapper'
    if hook:
        cfg['default_hooks']['compile'] = hook
    runner = Runner.from_cfg(cfg)
    trace = Trace()
    runner.register_hook(trace)
    try:
        runner.train()
    finally:
        torch.compiler.set_stance('default')
    return runner, trace.losses


@pytest.mark.slow
def test_losses_equal_eager(images, tmp_path) -> None:
    _, expected = train(images, tmp_path / 'eager', None)
    assert not counters['stats']
    runner, losses = train(images, tmp_path / 'compiled', dict(type='CompileHook'))
    assert len(losses) == STEPS
    assert losses == pytest.approx(expected, rel=1e-5)
    # blocks and projectors, the student's and the teacher's: blocks of one kind share a graph
    assert counters['stats']['unique_graphs'] == 4 and not counters['graph_break']
    assert runner.model.state_dict().keys() == build_model().state_dict().keys()


@pytest.mark.slow
def test_resumed_equals_undisturbed_with_what_is_compiled(images, tmp_path) -> None:
    hook = dict(type='CompileHook', backend='aot_eager')
    # rates differ by block, and random numbers are drawn
    options = dict(epochs=3, model=model_cfg(drop_path_rate=0.3))
    whole, _ = train(images, tmp_path / 'whole', hook, **options)
    torch.compiler.reset()
    resumed, losses = train(
        images, tmp_path / 'resumed', hook, resume=True,
        load_from=str(tmp_path / 'whole' / 'epoch_1.pth'), **options)
    assert len(losses) == 6  # the second and third epoch's
    weights = whole.model.state_dict()
    for key, value in resumed.model.state_dict().items():
        assert torch.equal(value, weights[key]), key


def test_compiles_student_and_teacher_in_place() -> None:
    model = build_model()
    regions = regions_of(model)
    assert len(regions) == 2 * (2 + 1)
    assert [*model.backbone.blocks, model.neck, *model.teacher.backbone.blocks,
            model.teacher.neck] == regions


def test_one_line_where_it_cannot_work(monkeypatch) -> None:
    with pytest.raises(InputError, match='finds nothing to compile: .* neither Block nor'):
        CompileHook().before_train(SimpleNamespace(model=torch.nn.Linear(1, 1)))
    runner = SimpleNamespace(model=build_model())
    monkeypatch.setenv('CXX', '/no/such/compiler')
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match='there is no /no/such/compiler; install g'):
            CompileHook().before_train(runner)
    monkeypatch.setattr(compile_hook, 'FSDP', type(runner.model))
    with pytest.raises(InputError, match='does not go with FSDP'):
        CompileHook().before_train(runner)
