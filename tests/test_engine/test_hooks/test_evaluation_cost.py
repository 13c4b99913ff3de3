from types import SimpleNamespace

import pytest
from mmengine.runner import EpochBasedTrainLoop

from conmim_mm.engine.hooks.online_evaluation import cost as evaluation_cost
from conmim_mm.engine.hooks.online_evaluation.cost import CostMeter, EvaluationPlan, plan_evaluation

BY_EPOCH = object.__new__(EpochBasedTrainLoop)


@pytest.fixture
def plan(monkeypatch):
    def of(length: int, images: int, batch: int, processes: int = 1, loop: object = None,
           classes: int = 10, **asked) -> tuple[int, int]:
        monkeypatch.setattr(evaluation_cost, 'run_facts', lambda runner: dict(
            world_size=processes, batch_size=batch, images=images,
            epoch_length=images // (batch * processes)))
        runner = SimpleNamespace(train_loop=loop, max_epochs=length, max_iters=length)
        found = plan_evaluation(runner, classes, **asked)
        assert found.unit == ('epochs' if loop is BY_EPOCH else 'iterations')
        return found.interval, found.max_images

    return of


def test_ten_epochs_and_the_images_they_pay_for(plan) -> None:
    # of 100,000 images; 0.02 of the 999,680 trained on in between
    assert plan(100, 100_000, 64, loop=BY_EPOCH) == (10, 19_994)
    assert plan(100, 100_000, 16, processes=4, loop=BY_EPOCH) == (10, 19_994)
    # ImageNet: all that is wanted
    assert plan(300, 1_281_167, 256, processes=8, loop=BY_EPOCH, classes=1000) == (10, 20_000)
    # 1,563 iterations are an epoch
    assert plan(10**6, 100_000, 64) == (15_630, 20_000)


def test_a_short_run_is_judged_half_way(plan) -> None:
    assert plan(1400, 6000, 32) == (700, 500)  # the demo: 7.4 epochs
    assert plan(7, 100_000, 64, loop=BY_EPOCH) == (4, 7_997)
    assert plan(1, 12, 4, loop=BY_EPOCH) == (1, 500)


def test_a_small_folder_is_judged_less_often(plan) -> None:
    # 500 images are 0.04 of 12,500 trained on: 130.2 epochs of 96
    assert plan(300, 100, 32, loop=BY_EPOCH) == (131, 500)
    assert plan(100, 100, 32, loop=BY_EPOCH) == (100, 500)  # at the start and at the end


def test_what_was_asked_for_is_taken(plan) -> None:
    assert plan(1400, 6000, 32, interval=100) == (100, 500)
    assert plan(1400, 6000, 32, interval=100, classes=80) == (100, 800)
    assert plan(1400, 6000, 32, max_images=90) == (700, 90)
    assert plan(300, 10**6, 256, loop=BY_EPOCH, interval=1, max_images=99_999) == (1, 99_999)


def test_cost_is_that_beside_training(monkeypatch) -> None:
    clock = iter([1000., 1104., 1258., 1312.])
    monkeypatch.setattr(evaluation_cost.time, 'perf_counter', lambda: next(clock))
    plan = EvaluationPlan(10, 'epochs', 500)
    meter = CostMeter(done=20)
    # nothing to compare with
    assert meter.describe(4., 20, plan, 80) == '4.0 s'
    # 104 s with 8 s of evaluating; 4 s are 2 % of 200 s, which are 20.8 epochs
    assert meter.describe(4., 30, plan, 80) == (
        '4.0 s, 8.3 % of the training time so far: interval=21 (epochs) with max_images=80 would '
        'keep it below 2 %')
    assert meter.describe(50., 40, plan, 80).startswith('50.0 s, 29.0 % of the training time')


def test_no_advice_where_only_the_start_weighs(monkeypatch) -> None:
    clock = iter([0., 202.])
    monkeypatch.setattr(evaluation_cost.time, 'perf_counter', lambda: next(clock))
    meter = CostMeter(done=0)
    meter.describe(4., 0, EvaluationPlan(10, 'epochs', 500), 500)
    text = meter.describe(3., 10, EvaluationPlan(10, 'epochs', 500), 500)
    assert text == '3.0 s, 3.6 % of the training time so far'
