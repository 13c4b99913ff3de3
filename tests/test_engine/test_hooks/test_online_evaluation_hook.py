"""What is learnt is judged while it is learnt, and learnt as without."""

import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import CheckpointHook, Hook, IterTimerHook
from mmengine.runner import Runner
from torch import nn

from conmim_mm.datasets import ImageFiles
from conmim_mm.datasets.labelled_folder import find_labelled_split
from conmim_mm.engine import OnlineEvaluationHook
from conmim_mm.engine.hooks.online_evaluation.images import (
    UNREADABLE,
    EvaluationImages,
    check_apart,
)
from conmim_mm.engine.hooks.online_evaluation.model import RGBImages, frozen_backbone
from conmim_mm.engine.hooks.online_evaluation.online_evaluation_hook import (
    KNN,
    LINEAR,
    save_if_best,
    stop_clocks,
)
from conmim_mm.errors import InputError
from conmim_mm.evaluation import evaluate_features, extract_features, labelled_datasets
from conmim_mm.models import ConMIMDataPreprocessor
from conmim_mm.utils.run_comparison import run_differences
from conmim_mm.utils.work_dir import log_entries, newest_complete_checkpoint

from ...labelled import write_labelled_images
from ...test_promises.test_exact_resume import stop_after
from ...toy import build_model, model_cfg, run_cfg, write_noise_images

STEPS = 12  # four epochs of three batches


@pytest.fixture(scope='module')
def labelled(tmp_path_factory) -> Path:
    return write_labelled_images(tmp_path_factory.mktemp('labelled') / 'val')


def build(images: Path, work_dir: Path, *hooks: dict, by_epoch: bool = True, save_best: str = KNN,
          **overrides) -> Runner:
    """Four epochs or twelve iterations, every number logged; goes on from what is there."""
    newest = newest_complete_checkpoint(work_dir)
    work_dir.mkdir(exist_ok=True)
    cfg = run_cfg(
        images, work_dir, epochs=4,
        # drop path draws random numbers in every step
        model=model_cfg(drop_path_rate=0.3),
        resume=newest is not None, load_from=str(newest) if newest else None,
        default_hooks=dict(
            checkpoint=dict(type='AtomicCheckpointHook', by_epoch=by_epoch, max_keep_ckpts=1,
                            interval=1 if by_epoch else 3, save_best=save_best, rule='greater'),
            logger=dict(type='LoggerHook', interval=1),
            runtime_info=dict(type='StepLogHook'),
            stop=dict(type='StopOnSignalHook')), log_level='INFO')
    cfg['custom_hooks'] = hooks
    if not by_epoch:
        cfg['train_dataloader']['sampler']['type'] = 'InfiniteSeededSampler'
        cfg['train_cfg'] = dict(type='ResumableIterLoop', max_iters=STEPS)
        cfg['param_scheduler'] = dict(type='WarmupCosineLR', warmup=3, eta_min=1e-5, by_epoch=False)
        cfg['log_processor'] = dict(by_epoch=False)
    return Runner.from_cfg(cfg | overrides)


def hook_on(folder: Path, **settings) -> dict:
    return dict(type='OnlineEvaluationHook', data_root=str(folder), batch_size=7) | settings


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
    hook = hook_on(labelled, interval=2 if by_epoch else 5)
    modes = []
    for name, hooks in dict(plain=[], judged=[hook]).items():
        runner = build(images, tmp_path / name, *hooks, by_epoch=by_epoch,
                       save_best=KNN if hooks else None)
        modes.append(Modes())
        runner.register_hook(modes[-1])
        runner.train()
    assert modes[0].seen == modes[1].seen

    found = evaluations(tmp_path / 'judged')
    # at the start, every so often, and at the end
    assert [*found] == ([0, 6, 12] if by_epoch else [0, 5, 10, 12])
    teacher = runner.model.teacher.backbone
    parts = [extract_features(teacher, part, runner.model.data_preprocessor, num_workers=0)
             for part in labelled_datasets(find_labelled_split(str(labelled)), 32)]
    expected = evaluate_features(*parts)
    assert found[12] == pytest.approx((100 * expected['knn'].value, 100 * expected['linear'].value))

    # within an interval, and right before an evaluation
    for step in (4, 6) if by_epoch else (5,):
        stop_after(build(images, tmp_path / 'part', hook, by_epoch=by_epoch), step)
    build(images, tmp_path / 'part', hook, by_epoch=by_epoch).train()
    assert len(log_lines(tmp_path / 'part', 'val: knn')) == len(found)  # none was done twice
    assert run_differences(tmp_path / 'part', tmp_path / 'judged') == []
    assert best_checkpoints(tmp_path / 'part') == best_checkpoints(tmp_path / 'judged')

    log = next((tmp_path / 'judged').glob('*/vis_data/scalars.json'))
    log.write_text(''.join(
        line for line in log.read_text().splitlines(keepends=True) if KNN not in line))
    assert run_differences(tmp_path / 'plain', tmp_path / 'judged') == []


def test_either_backbone_is_judged() -> None:
    runner = SimpleNamespace(model=build_model())
    assert frozen_backbone(runner, 'student')() is runner.model.backbone
    assert frozen_backbone(runner, 'teacher')() is runner.model.teacher.backbone


def scripted(monkeypatch, *knn: float) -> None:
    """Scores to be found in the place of real ones."""
    scores = iter(knn)
    monkeypatch.setattr(OnlineEvaluationHook, '_evaluate',
                        lambda self, runner: {KNN: next(scores), LINEAR: 1.})


def test_the_best_is_kept_also_over_a_resume(images, labelled, tmp_path, monkeypatch) -> None:
    hook = hook_on(labelled, interval=1)
    # the best of all, but of random weights
    scripted(monkeypatch, 50., 20., 40.)
    stop_after(build(images, tmp_path, hook), 8)
    assert best_checkpoints(tmp_path) == ['best_val_knn_top1_epoch_2.pth']
    scripted(monkeypatch, 30., 45.)
    build(images, tmp_path, hook).train()
    assert best_checkpoints(tmp_path) == ['best_val_knn_top1_epoch_4.pth']
    assert [' (best)' in line for line in log_lines(tmp_path, 'val: knn')] == [
        False, True, True, False, True]
    saved = torch.load(tmp_path / 'best_val_knn_top1_epoch_4.pth', weights_only=False)
    assert (saved['meta']['epoch'], saved['meta']['iter']) == (4, STEPS)
    assert {path.name for path in tmp_path.glob('*.pth')} == {
        'epoch_4.pth', 'best_val_knn_top1_epoch_4.pth'}


def test_a_best_checkpoint_by_something_else_is_left_alone() -> None:
    hook = CheckpointHook(save_best='accuracy/top1', rule='greater')
    save_if_best(SimpleNamespace(hooks=[hook]), {KNN: 1., LINEAR: 2.})
    assert hook.best_ckpt_path is None


def test_a_failure_is_a_warning(images, labelled, tmp_path) -> None:
    folder = tmp_path / 'val'
    write_labelled_images(folder, count=5)
    for held_out in folder.glob('*/4.png'):
        held_out.write_bytes(b'no image')
    runner = build(images, tmp_path / 'run', hook_on(folder, interval=2))
    runner.train()
    assert runner.iter == STEPS
    warnings = log_lines(tmp_path / 'run', 'online evaluation failed, training goes on')
    assert len(warnings) == 1 and 'none of the images held out can be read' in warnings[0]
    assert len(log_lines(tmp_path / 'run', 'left out of the evaluation: ')) == 3
    assert evaluations(tmp_path / 'run') == {}


def test_unusable_folders_are_refused(images, labelled, tmp_path) -> None:
    def refusal(folder: Path, training: Path = images, model: object = None) -> str:
        runner = SimpleNamespace(
            model=model or SimpleNamespace(teacher=None),
            train_dataloader=SimpleNamespace(dataset=ImageFiles(data_root=str(training))))
        with pytest.raises(InputError) as error:
            OnlineEvaluationHook(str(folder)).before_train(runner)
        return str(error.value)

    assert refusal(tmp_path / 'nowhere').startswith('no such folder of labelled images')
    assert refusal(images).startswith(f'no labels in {images}: online evaluation needs CLASS/*')
    (tmp_path / 'link').symlink_to(labelled)
    for folder, training in ((labelled, labelled), (tmp_path / 'link', labelled),
                             (labelled, labelled / 'red'), (labelled, labelled.parent)):
        assert 'holds images of the pre-training set' in refusal(folder, training)
    assert 'needs a model with a teacher' in refusal(labelled, model=nn.Linear(1, 1))


def test_images_of_a_list_beside_them_are_no_matter(labelled, tmp_path) -> None:
    write_noise_images(tmp_path, count=2, side=32)
    (tmp_path / 'val').symlink_to(labelled)
    (tmp_path / 'list.txt').write_text('0.png\n1.png\n')
    check_apart(str(tmp_path / 'val'), ImageFiles(data_root=str(tmp_path), ann_file='list.txt'))


def test_labelled_images_below_the_training_set_are_found(tmp_path, labelled) -> None:
    """However few of very many they are."""
    write_noise_images(tmp_path, count=2, side=32)
    shutil.copytree(labelled, tmp_path / 'few')
    paths = [str(tmp_path / '0.png')] * 30_001
    paths[10_000 + 1] = str(tmp_path / 'few' / 'red' / '0.png')
    training_set = Paths(paths)
    with pytest.raises(InputError, match='few holds images of the pre-training set'):
        check_apart(str(tmp_path / 'few'), training_set)


class Paths:

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=self.paths[index])


def test_a_damaged_image_is_left_out(labelled, tmp_path) -> None:
    """The rest is judged as if it were not there."""
    folder = Path(shutil.copytree(labelled, tmp_path / 'val'))
    (folder / 'green' / '3.png').write_bytes(b'no image')
    images = EvaluationImages(find_labelled_split(str(folder)), 32, 1000)
    model = build_model()
    extract = partial(extract_features, model.backbone, preprocessor=model.data_preprocessor,
                      num_workers=0)
    features, labels = extract(images.dataset)
    assert (labels == UNREADABLE).sum() == 1

    hook = OnlineEvaluationHook(str(folder), k=3)
    hook.images = images
    judged = hook._judge(features, labels, 'cpu')
    readable = labels != UNREADABLE
    hook.images.num_train -= int((~readable)[:images.num_train].sum())
    assert judged == hook._judge(features[readable], labels[readable], 'cpu')


@pytest.mark.parametrize('settings, words', [
    (dict(max_images=1), 'must be at least 2: one to learn'),
    (dict(interval=0), 'interval of OnlineEvaluationHook must be at least 1, not 0'),
    (dict(k=0), 'k of'), (dict(max_images=0), 'max_images of'), (dict(batch_size=-1), 'batch_size'),
    (dict(weights='both'), "must be 'teacher' or 'student', not 'both'")])
def test_settings_of_no_use_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        OnlineEvaluationHook('data', **settings)


def test_step_clocks_stand_still() -> None:
    timer = IterTimerHook()
    runner = SimpleNamespace(hooks=[timer])
    stop_clocks(runner, 2.5)  # before it has started
    timer.t = 100.
    stop_clocks(runner, 2.5)
    assert timer.t == 102.5


def test_images_are_given_as_the_training_set_comes() -> None:
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    rgb, bgr = (RGBImages(ConMIMDataPreprocessor(to_rgb=flip)) for flip in (False, True))
    assert torch.equal(*(prepare(dict(inputs=images))['inputs'] for prepare in (rgb, bgr)))
