"""A loader that is too slow is spoken of, once, with numbers that can be checked by hand."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from torch.utils.data import DataLoader

from conmim_mm.datasets import ConMIMTwoViews
from conmim_mm.engine import LoaderWatchHook
from conmim_mm.engine.hooks import loader_watch_hook
from conmim_mm.engine.hooks.loader_watch_hook import pipeline_advice

BATCH = dict(inputs=torch.zeros(12, 3))
ADVICE = 'in docs'


@pytest.fixture
def warnings_of(monkeypatch):
    """Runs steps of (time, data_time) on a machine of four CPUs; returns what was warned of."""
    monkeypatch.setattr(loader_watch_hook, 'cores_per_process', lambda: 4)
    monkeypatch.setattr(loader_watch_hook, 'pipeline_advice', lambda dataset: [ADVICE])
    monkeypatch.setattr(loader_watch_hook, 'prepare_workers', lambda loader: None)

    def run(steps: list[tuple[float, float]], workers: int = 2, **settings) -> list[str]:
        said = []
        runner = SimpleNamespace(
            message_hub=MessageHub(f'loader watch {id(said)}'),
            logger=SimpleNamespace(warning=said.append),
            train_dataloader=SimpleNamespace(
                num_workers=workers, persistent_workers=True, dataset=None))
        hook = LoaderWatchHook(**(dict(window=4, skip=2) | settings))
        hook.before_train(runner)
        for seconds, waited in steps:
            runner.message_hub.update_scalar('train/time', seconds)
            runner.message_hub.update_scalar('train/data_time', waited)
            hook.after_train_iter(runner, 0, BATCH)
        return said

    return run


def test_share_speed_and_advice(warnings_of) -> None:
    # 48 images in 8 s, 4 of them waiting: 6 images/s, and 12 without waiting, so twice the workers
    said = warnings_of([(9., 9.), (9., 9.), (2., 0.), (2., 0.), (2., 0.), (2., 4.)])
    assert said == [
        '50% of the time of the last 4 steps went into waiting for data: 2 workers deliver 6 '
        'images/s (3 each), the model could take 12. What helps: train_dataloader.num_workers=4 '
        f'(there are 4 CPUs for each process); {ADVICE}. See docs/performance.md.']


@pytest.mark.parametrize('steps, count', [
    ([(1., 1.)] * 5, 0),  # the window is not full after the first two
    ([(1., 1.)] * 6, 1),
    ([(1., 1.)] * 60, 1),
    ([(10., 2.)] * 60, 0),  # a fifth is allowed
    ([(10., 2.1)] * 60, 1),
    ([(0., 0.)] * 60, 0),
])
def test_when(warnings_of, steps: list, count: int) -> None:
    assert len(warnings_of(steps)) == count


@pytest.mark.parametrize('workers, text', [
    (0, 'the training process itself loads 6 images/s, the model could take 12. What helps: '
        'train_dataloader.num_workers=3 '),
    (1, '1 worker delivers 6 images/s, the model could take 12. What helps: '
        'train_dataloader.num_workers=2 '),
    (4, '(1.5 each), the model could take 12. What helps: more CPUs (all 4 of this process have'),
])
def test_workers(warnings_of, workers: int, text: str) -> None:
    said, = warnings_of([(2., 1.)] * 6, workers=workers)
    assert text in said


def test_the_other_processes_are_silent(warnings_of, monkeypatch) -> None:
    monkeypatch.setattr(loader_watch_hook, 'is_main_process', lambda: False)
    assert warnings_of([(1., 1.)] * 10) == []


def test_no_option_that_is_in_use_already(monkeypatch) -> None:
    kinds = dict(TeacherPerturbation=True, DevicePerturbation=False)
    transforms = {kind: ConMIMTwoViews(size=32, perturbation=dict(type=kind)) for kind in kinds}
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(loader_watch_hook.importlib.util, 'find_spec', lambda name: None)
    for kind, expected in kinds.items():
        views = transforms[kind]
        dataset = SimpleNamespace(pipeline=SimpleNamespace(transforms=[object(), views]))
        advice = '; '.join(pipeline_advice(dataset))
        assert 'simplejpeg' in advice and 'make_shards.py' in advice
        assert ('dataset.pipeline.1.perturbation.type=DevicePerturbation' in advice) == expected


def test_without_a_timer_it_has_nothing_to_say() -> None:
    runner = SimpleNamespace(message_hub=MessageHub('loader watch without a timer'),
                             train_dataloader=DataLoader([]))
    hook = LoaderWatchHook(window=4, skip=2)
    hook.before_train(runner)
    for _ in range(10):
        hook.after_train_iter(runner, 0, BATCH)
