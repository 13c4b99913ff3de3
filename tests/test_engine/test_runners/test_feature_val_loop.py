"""What is learnt is judged while it is learnt, and learnt as without."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmpretrain.structures import DataSample
from run_comparison import run_differences
from torch import nn

from conmim_mm.apis.options import BEST as KNN
from conmim_mm.apis.options import BEST_OF_MAPS as MAPS_KNN
from conmim_mm.apis.options import add_online_evaluation
from conmim_mm.datasets.labelled_folder import labelled_datasets, labelled_split
from conmim_mm.datasets.segmentation_folder import segmentation_datasets, segmentation_split
from conmim_mm.engine import FeatureValLoop
from conmim_mm.engine.runners import feature_val_loop
from conmim_mm.engine.runners.feature_val_loop import plan_validation
from conmim_mm.errors import InputError, StoppedBySignal
from conmim_mm.evaluation import FrozenFeatureMetric, evaluate_features, extract_features
from conmim_mm.evaluation.dense import judge_maps, knn_scores, patch_bank
from conmim_mm.evaluation.features import patch_features
from conmim_mm.models import ConMIMDataPreprocessor
from conmim_mm.utils.work_dir import log_entries

from ...labelled import write_labelled_images, write_labelled_maps
from ...runs import STEPS, resumable_cfg, stop_after
from ...toy import build_model

LINEAR = 'val/linear_top1'


def build(images: Path, work_dir: Path, labelled: Path | None = None, interval: int = 1,
          by_epoch: bool = True) -> Runner:
    """Keeps one checkpoint, of the last epoch or third iteration."""
    cfg = Config(resumable_cfg(images, work_dir, by_epoch, log_level='INFO'))
    cfg.default_hooks.checkpoint.update(max_keep_ckpts=1, interval=1 if by_epoch else 3)
    if labelled is not None:
        add_online_evaluation(cfg, str(labelled))
        cfg.val_dataloader.batch_size = 7
        cfg.train_cfg.val_interval = interval
    return Runner.from_cfg(cfg)


def evaluations(work_dir: Path) -> dict[int, tuple[float, float]]:
    """k-NN and linear top-1 by step."""
    return {entry['step']: (entry[KNN], entry[LINEAR])
            for entry in log_entries(work_dir) if KNN in entry}


def best_checkpoints(work_dir: Path) -> list[str]:
    return [path.name for path in work_dir.glob('best_*')]


def log_lines(work_dir: Path, words: str) -> list[str]:
    return [line for path in sorted(work_dir.glob('*/*.log'))
            for line in path.read_text().splitlines() if words in line]


class Modes(Hook):
    """Notes which parts of the model are in train mode at each step."""

    def __init__(self) -> None:
        self.seen = []

    def before_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        self.seen.append([name for name, module in runner.model.named_modules()
                          if module.training])


@pytest.mark.slow
@pytest.mark.parametrize('by_epoch', [True, False], ids=['epochs', 'iterations'])
def test_training_is_as_without_also_over_a_resume(images, labelled, tmp_path,
                                                   by_epoch: bool) -> None:
    judged = dict(labelled=labelled, interval=2 if by_epoch else 5, by_epoch=by_epoch)
    modes = []
    for name, settings in dict(plain=dict(by_epoch=by_epoch), judged=judged).items():
        runner = build(images, tmp_path / name, **settings)
        modes.append(Modes())
        runner.register_hook(modes[-1])
        runner.train()
    assert modes[0].seen == modes[1].seen

    found = evaluations(tmp_path / 'judged')
    # at the start, every so often, and at the end
    assert [*found] == ([0, 6, 12] if by_epoch else [0, 5, 10, 12])
    teacher = runner.model.teacher.backbone
    parts = [extract_features(teacher, part, runner.model.data_preprocessor, num_workers=0)
             for part in labelled_datasets(labelled_split(str(labelled)), 32)]
    expected = evaluate_features(*parts)
    assert found[12] == pytest.approx((100 * expected['knn'].value, 100 * expected['linear'].value))

    # within an interval, and right before a validation
    for step in (4, 6) if by_epoch else (5,):
        stop_after(build(images, tmp_path / 'part', **judged), step)
    # within one
    runner = build(images, tmp_path / 'part', **judged)
    runner.register_hook(SignalInValidation(12))
    with pytest.raises(StoppedBySignal):
        runner.train()
    build(images, tmp_path / 'part', **judged).train()
    assert len(log_lines(tmp_path / 'part', 'val: 30 images')) == len(found)  # none was done twice
    assert run_differences(tmp_path / 'part', tmp_path / 'judged') == []
    assert best_checkpoints(tmp_path / 'part') == best_checkpoints(tmp_path / 'judged')

    log = next((tmp_path / 'judged').glob('*/vis_data/scalars.json'))
    log.write_text(''.join(
        line for line in log.read_text().splitlines(keepends=True) if KNN not in line))
    assert run_differences(tmp_path / 'plain', tmp_path / 'judged') == []


class SignalInValidation(Hook):
    """Sends this process a signal in the second batch of the validation after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def before_val_iter(self, runner: Runner, batch_idx: int, *_: object, **__: object) -> None:
        if (runner.iter, batch_idx) == (self.step, 1):
            os.kill(os.getpid(), signal.SIGTERM)


def test_patch_tokens_are_judged_by_maps(images, tmp_path) -> None:
    folder = write_labelled_maps(tmp_path / 'maps', count=15)
    runner = build(images, tmp_path / 'run', folder, interval=2)
    runner.train()
    found = {entry['step']: entry for entry in log_entries(tmp_path / 'run') if MAPS_KNN in entry}
    assert [*found] == [0, 6, 12] and found[12]['val/held_out'] == 3
    teacher, size = runner.model.teacher.backbone, 32
    train, held_out = (patch_features(teacher, part, runner.model.data_preprocessor, num_workers=0)
                       for part in segmentation_datasets(segmentation_split(str(folder)), size))
    expected = judge_maps(dict(it=knn_scores(patch_bank(train, 12))), held_out)['it']
    assert found[12][MAPS_KNN] == pytest.approx(100 * expected.value, abs=1)
    assert found[12][f'{MAPS_KNN}_error'] == pytest.approx(100 * expected.standard_error, abs=1)
    assert best_checkpoints(tmp_path / 'run')[0].startswith('best_val_dense_knn_miou_epoch_')
    assert log_lines(tmp_path / 'run', 'val: 15 images')


def test_of_maps_a_third_of_the_images_is_judged(images, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(feature_val_loop, 'MIN_IMAGES', 30)
    folder = write_labelled_maps(tmp_path / 'maps', count=25)
    for max_images, expected in ((None, 10), (20, 20)):
        runner = build(images, tmp_path / 'run', folder)
        runner._val_loop['type'] = 'FeatureValLoop'
        runner._val_dataloader['dataset']['max_images'] = max_images
        loop = runner.build_val_loop(runner._val_loop)
        assert len(loop.dataloader.dataset) == expected


def scripted(monkeypatch, *knn: float) -> None:
    """Scores to be found in the place of real ones."""
    scores = iter(knn)
    monkeypatch.setattr(FrozenFeatureMetric, 'compute_metrics',
                        lambda self, results: dict(knn_top1=next(scores), linear_top1=1.))


def test_the_best_is_kept_also_over_a_resume(images, labelled, tmp_path, monkeypatch) -> None:
    # the best of all, but of random weights
    scripted(monkeypatch, 50., 20., 40.)
    stop_after(build(images, tmp_path, labelled), 8)
    assert best_checkpoints(tmp_path) == ['best_val_knn_top1_epoch_2.pth']
    scripted(monkeypatch, 30., 45.)
    build(images, tmp_path, labelled).train()
    assert best_checkpoints(tmp_path) == ['best_val_knn_top1_epoch_4.pth']
    assert len(log_lines(tmp_path, 'The best checkpoint with')) == 3
    saved = torch.load(tmp_path / 'best_val_knn_top1_epoch_4.pth', weights_only=False)
    assert (saved['meta']['epoch'], saved['meta']['iter']) == (4, STEPS)
    assert {path.name for path in tmp_path.glob('*.pth')} == {
        'epoch_4.pth', 'best_val_knn_top1_epoch_4.pth'}


def test_a_failure_is_a_warning(images, tmp_path) -> None:
    folder = write_labelled_images(tmp_path / 'val', count=5)
    for held_out in folder.glob('*/4.png'):
        held_out.write_bytes(b'no image')
    runner = build(images, tmp_path / 'run', folder, interval=4)
    runner.train()
    assert runner.iter == STEPS
    # at the start and at the end; of equal warnings MMEngine logs one
    warnings = log_lines(tmp_path / 'run', 'validation failed, training goes on')
    assert len(warnings) == 1 and 'none of the images held out can be read' in warnings[0]
    assert len(log_lines(tmp_path / 'run', 'left out of the evaluation: ')) == 3
    assert evaluations(tmp_path / 'run') == {}


def test_after_a_failure_hooks_still_meet_other_processes(images, labelled, tmp_path,
                                                          monkeypatch) -> None:
    """Those of processes where nothing failed wait for them after every batch."""
    runner = build(images, tmp_path, labelled, interval=4)
    seen, process = [], FrozenFeatureMetric.process

    def failing(self, data_batch: dict, data_samples: list) -> None:
        if len(seen) == 1:
            raise OSError('no room')
        process(self, data_batch, data_samples)

    class Meeting(Hook):

        def after_val_iter(self, runner: Runner, batch_idx: int, *_: object, **__: object) -> None:
            seen.append(batch_idx)

    monkeypatch.setattr(FrozenFeatureMetric, 'process', failing)
    runner.register_hook(Meeting())
    loop = runner.build_val_loop(runner._val_loop)
    runner._val_loop = loop
    assert loop.run() == {}
    assert seen == [0, 1, 2, 3, 4]  # of 30 images
    assert 'validation failed, training goes on: OSError in rank 0: no room' in (
        log_lines(tmp_path, 'validation failed')[0])
    assert len(loop.run()) == 3  # what was left of the failed one is forgotten


def test_what_cannot_be_judged_is_refused(images, labelled, tmp_path) -> None:
    def refusal(folder: Path, training: Path = images) -> str:
        with pytest.raises(InputError) as error:
            build(training, tmp_path / 'run', folder).train()
        return str(error.value)

    assert 'no labels in' in refusal(images)
    assert 'holds images of the pre-training set' in refusal(labelled, labelled)
    with pytest.raises(InputError, match='needs a model that predicts features'):
        FeatureValLoop(SimpleNamespace(model=nn.Linear(1, 1)), {}, {})


def test_images_are_given_as_the_training_set_comes() -> None:
    levels = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    model, found = build_model(), []
    for flip in (False, True):
        model.data_preprocessor = ConMIMDataPreprocessor(to_rgb=flip)
        loop = object.__new__(FeatureValLoop)
        loop.evaluator = SimpleNamespace(process=lambda **_: None)
        sample, = loop._predict(model.eval(), dict(inputs=[levels], data_samples=[DataSample()]))
        found.append(sample.features)
    assert torch.equal(*found)


@pytest.mark.parametrize('seconds, text', [
    (1., 'val: 30 images, 1.0 s, 1.0 % of the time of 10 epochs'),
    (3., 'val: 30 images, 3.0 s, 3.0 % of the time of 10 epochs; train_cfg.val_interval=15 would '
         'keep it below 2 %')])
def test_cost_is_that_beside_training(seconds: float, text: str) -> None:
    loop = object.__new__(FeatureValLoop)
    loop.dataloader = SimpleNamespace(dataset=range(30))
    loop._runner = SimpleNamespace(
        iter=5, train_loop=train_loop(EpochBasedTrainLoop, 100, 40, 10, val_interval=10),
        message_hub=SimpleNamespace(log_scalars={'train/time': SimpleNamespace(mean=lambda: 2.5)}))
    assert loop._describe_cost(seconds) == text
    loop._runner.iter = 0  # nothing to compare with
    assert loop._describe_cost(seconds) == f'val: 30 images, {seconds} s'


def train_loop(kind: type, length: int, images: int, batch: int, **settings) -> object:
    """A loop as far as a plan looks at it, of so many epochs or iterations."""
    loop = object.__new__(kind)
    loop._max_epochs = loop._max_iters = length

    class Loader:
        dataset = range(images)

        def __len__(self) -> int:
            return images // batch

    loop.dataloader = Loader()
    vars(loop).update(settings)
    return loop


@pytest.mark.parametrize('length, images, batch, settings, expected', [
    # ten epochs and the images they pay for: 0.02 of the 999,680 trained on in between
    (100, 100_000, 64, dict(by_epoch=True), (10, 19_994)),
    (100, 100_000, 16, dict(by_epoch=True, processes=4), (10, 19_994)),
    # ImageNet: all that is wanted
    (300, 1_281_167, 256, dict(by_epoch=True, processes=8, classes=1000), (10, 20_000)),
    # 1,563 iterations are an epoch
    (10**6, 100_000, 64, {}, (15_630, 20_000)),
    # a short run is judged half way, such as the demo: 7.4 epochs
    (1400, 6000, 32, {}, (700, 500)),
    (7, 100_000, 64, dict(by_epoch=True), (4, 7_997)),
    (1, 12, 4, dict(by_epoch=True), (1, 500)),
    # a small folder less often: 500 images are 0.04 of 12,500 trained on: 130.2 epochs of 96
    (300, 100, 32, dict(by_epoch=True), (131, 500)),
    (100, 100, 32, dict(by_epoch=True), (100, 500)),  # at the start and at the end
    # what was asked for is taken
    (1400, 6000, 32, dict(interval=100), (100, 500)),
    (1400, 6000, 32, dict(interval=100, classes=80), (100, 800)),
    (1400, 6000, 32, dict(max_images=90), (700, 90)),
    (300, 10**6, 256, dict(by_epoch=True, interval=1, max_images=99_999), (1, 99_999)),
])
def test_plans(length: int, images: int, batch: int, settings: dict, expected: tuple) -> None:
    asked = dict(settings)
    kind = EpochBasedTrainLoop if asked.pop('by_epoch', False) else IterBasedTrainLoop
    batch *= asked.pop('processes', 1)
    loop = train_loop(kind, length, images, batch)
    assert plan_validation(loop, batch, asked.pop('classes', 10), **asked) == expected
