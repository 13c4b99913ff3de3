"""A run resumes only as what it was, unless it is told to."""

from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from conmim_mm.engine import StartChecksHook
from conmim_mm.engine.hooks.start_checks.run_facts import describe_changes
from conmim_mm.engine.schedulers.curves import warmup_cosine
from conmim_mm.errors import InputError

from ...toy import ARCH, model_cfg, run_cfg

FACTS = dict(world_size=2, batch_size=8, accumulative_counts=1, images=64, epoch_length=4,
             arch=dict(num_heads=2))
SCHEDULE = dict(
    type='WarmupCosineLR', warmup=0, eta_min=1e-5, convert_to_iter_based=True)


def test_changes_in_words() -> None:
    assert describe_changes(FACTS, FACTS) == ''
    assert describe_changes(FACTS, FACTS | dict(world_size=4, images=65)) == (
        'processes: 2 in the checkpoint, 4 here, '
        'images in the data set: 64 in the checkpoint, 65 here')
    assert describe_changes(FACTS, FACTS | dict(arch=dict(num_heads=3))) == (
        "arch: {'num_heads': 2} in the checkpoint, {'num_heads': 3} here")


def test_same_total_batch_in_other_parts() -> None:
    halved = FACTS | dict(world_size=4, batch_size=4)
    assert describe_changes(FACTS, halved, same_total_batch=True) == ''
    assert describe_changes(FACTS, halved | dict(batch_size=8), same_total_batch=True) == (
        'images per step: 16 in the checkpoint, 32 here')


@pytest.fixture
def saved(images, tmp_path) -> Path:
    """A checkpoint after one epoch of three batches of four."""
    Runner.from_cfg(run_cfg(images, tmp_path / 'saved', epochs=1, param_scheduler=SCHEDULE)).train()
    return tmp_path / 'saved' / 'epoch_1.pth'


def resumed(images: Path, work_dir: Path, checkpoint: Path, mismatch: str = 'refuse',
            **overrides) -> Runner:
    cfg = run_cfg(images, work_dir, param_scheduler=SCHEDULE, resume=True,
                  load_from=str(checkpoint), **overrides)
    cfg['default_hooks']['start_checks']['mismatch'] = mismatch
    return Runner.from_cfg(cfg)


@pytest.mark.parametrize('change, words', [
    (dict(batch_size=2), 'images on each of them: 4 in the checkpoint, 2 here'),
    (dict(accumulate=3), 'batches per step: 1 in the checkpoint, 3 here'),
    (dict(model=model_cfg(arch=ARCH | dict(num_heads=4))), "'num_heads': 4"),
    (dict(model=model_cfg(img_size=64)), 'relative_position_bias_table (checkpoint (52, 2)'),
])
def test_another_run_is_refused(images, tmp_path, saved, change: dict, words: str) -> None:
    with pytest.raises(InputError) as error:
        resumed(images, tmp_path / 'run', saved, **change).train()
    assert words in str(error.value)
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_told_to_it_takes_what_fits(images, tmp_path, saved) -> None:
    """Another size of image: the position tables start anew, and so does the optimizer."""
    runner = resumed(images, tmp_path / 'run', saved, mismatch='allow',
                     model=model_cfg(img_size=64), epochs=1)
    before = torch.load(saved, weights_only=False)['state_dict']
    runner.train()  # nothing is left to train of one epoch
    own = runner.model.state_dict()
    others = [key for key in own if own[key].shape != before[key].shape]
    assert others and all('relative_position_bias_table' in key for key in others)
    for key in set(own) - set(others):
        assert torch.equal(own[key], before[key]), key
    assert not runner.optim_wrapper.optimizer.state
    assert runner.epoch == 1


def test_told_to_it_goes_on_with_another_batch(images, tmp_path, saved) -> None:
    """Halved batches: the same place in the schedules, twice the steps from there."""
    runner = resumed(images, tmp_path / 'run', saved, mismatch='allow', batch_size=2, epochs=2)
    runner.train()
    assert (runner.epoch, runner.iter, runner.max_iters) == (2, 12, 12)
    # one epoch of 3 batches became 6, and 6 more
    assert runner.param_schedulers[0]._global_step == 12
    rates = runner.message_hub.get_scalar('train/lr').data[0]
    assert len(rates) == 3 + 6
    expected = [warmup_cosine(1e-3, 1e-5, step, 12, 0) for step in range(6, 12)]
    assert rates[-6:] == pytest.approx(expected)


def test_unknown_way_is_refused() -> None:
    with pytest.raises(InputError, match='mismatch must be one of'):
        StartChecksHook(mismatch='ignore')
