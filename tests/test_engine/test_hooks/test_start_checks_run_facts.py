"""A run resumes only as what it was, unless it is told to."""

import copy
import re
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from conmim_mm.checkpoint.plain_data import plain_data
from conmim_mm.engine import StartChecksHook
from conmim_mm.engine.hooks.start_checks.changed_settings import (
    changed_settings,
    take_new_settings,
)
from conmim_mm.engine.hooks.start_checks.run_facts import describe_changes
from conmim_mm.engine.schedulers.curves import warmup_cosine
from conmim_mm.errors import InputError
from conmim_mm.models import ConMIM

from ...toy import ARCH, model_cfg, run_cfg

FACTS = dict(world_size=2, batch_size=8, accumulative_counts=1, images=64, epoch_length=4)
SCHEDULE = dict(
    type='WarmupCosineLR', warmup=0, eta_min=1e-5, convert_to_iter_based=True)


def test_changes_in_words() -> None:
    assert describe_changes(FACTS, FACTS) == []
    assert describe_changes(FACTS, FACTS | dict(world_size=4, images=65)) == [
        'processes: 2 in the checkpoint, 4 here',
        'images in the data set: 64 in the checkpoint, 65 here']
    assert describe_changes(FACTS, FACTS | dict(names=3)) == []  # older ones have none


def test_same_total_batch_in_other_parts() -> None:
    halved = FACTS | dict(world_size=4, batch_size=4)
    assert describe_changes(FACTS, halved, same_total_batch=True) == []
    assert describe_changes(FACTS, halved | dict(batch_size=8), same_total_batch=True) == [
        'images per step: 16 in the checkpoint, 32 here']


@pytest.fixture(scope='module')
def saved(images, tmp_path_factory) -> Path:
    """A checkpoint after one epoch of three batches of four; not to be changed."""
    folder = tmp_path_factory.mktemp('saved')
    Runner.from_cfg(run_cfg(images, folder, epochs=1, param_scheduler=SCHEDULE)).train()
    return folder / 'epoch_1.pth'


def resumed(images: Path, work_dir: Path, checkpoint: Path, mismatch: str = 'refuse',
            **overrides) -> Runner:
    cfg = run_cfg(images, work_dir, resume=True, load_from=str(checkpoint),
                  **dict(param_scheduler=SCHEDULE) | overrides)
    cfg['default_hooks']['start_checks']['mismatch'] = mismatch
    return Runner.from_cfg(cfg)


@pytest.mark.parametrize('change, words', [
    (dict(batch_size=2), 'images on each of them: 4 in the checkpoint, 2 here'),
    (dict(accumulate=3), 'batches per step: 1 in the checkpoint, 3 here'),
    (dict(model=model_cfg(arch=ARCH | dict(num_heads=4))),
     'model.backbone.arch.num_heads: 2 in the checkpoint, 4 here'),
    (dict(model=model_cfg(img_size=64)), 'model.backbone.img_size: 32 in the checkpoint, 64 here'),
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


LOADER = run_cfg(Path('x'), Path('x'))['train_dataloader']
OPTIMIZER = run_cfg(Path('x'), Path('x'))['optim_wrapper']


def other(part: dict, **places: object) -> dict:
    """A copy of a part of a config, with other values at the places ``a__b__0``."""
    part = copy.deepcopy(part)
    for place, value in places.items():
        *above, last = place.split('__')
        inner = part
        for key in above:
            inner = inner[int(key) if key.isdecimal() else key]
        inner[last] = value
    return part


# by the key that must be named
SETTINGS = {
    'optim_wrapper.optimizer.lr': dict(optim_wrapper=other(OPTIMIZER, optimizer__lr=1e-5)),
    'optim_wrapper.optimizer.betas': dict(
        optim_wrapper=other(OPTIMIZER, optimizer__betas=(.5, .9))),
    'optim_wrapper.optimizer.weight_decay': dict(
        optim_wrapper=other(OPTIMIZER, optimizer__weight_decay=0.)),
    'optim_wrapper.clip_grad.max_norm': dict(
        optim_wrapper=other(OPTIMIZER, clip_grad__max_norm=1.)),
    'param_scheduler.eta_min': dict(param_scheduler=dict(SCHEDULE, eta_min=0.)),
    'default_hooks.teacher.momentum': dict(
        default_hooks=dict(teacher=dict(type='TeacherUpdateHook', momentum=0.5))),
    'model.head.loss.temperature': dict(model=other(model_cfg(), head__loss__temperature=0.2)),
    'model.backbone.drop_path_rate': dict(model=model_cfg(drop_path_rate=0.2)),
    'model.data_preprocessor.mean': dict(
        model=model_cfg() | dict(data_preprocessor=dict(mean=[0., 0., 0.]))),
    'train_dataloader.dataset.pipeline.2.mask_ratio': dict(
        train_dataloader=other(LOADER, dataset__pipeline__2__mask_ratio=0.25)),
    'train_dataloader.dataset.pipeline.1.scale': dict(
        train_dataloader=other(LOADER, dataset__pipeline__1__scale=(.5, 1.))),
    'train_dataloader.sampler.shuffle': dict(
        train_dataloader=other(LOADER, sampler__shuffle=False)),
    'randomness.seed': dict(randomness=dict(seed=7)),
}


def with_images(change: dict, images: Path) -> dict:
    if 'train_dataloader' in change:
        return dict(train_dataloader=other(change['train_dataloader'],
                                           dataset__data_root=str(images)))
    return change


@pytest.mark.parametrize('key', SETTINGS)
def test_another_setting_is_refused_by_name(images, tmp_path, saved, key: str) -> None:
    with pytest.raises(InputError, match=f'{re.escape(key)}: .* in the checkpoint, .* here'):
        resumed(images, tmp_path / 'run', saved, **with_images(SETTINGS[key], images)).train()


def test_told_to_it_trains_with_the_new_settings(images, tmp_path, saved) -> None:
    runner = resumed(images, tmp_path / 'run', saved, mismatch='allow', randomness=dict(seed=7),
                     optim_wrapper=other(OPTIMIZER, optimizer__lr=1e-5, optimizer__betas=(.5, .9),
                                         optimizer__weight_decay=0.))
    runner.train()
    group = runner.optim_wrapper.optimizer.param_groups[0]
    assert group['betas'] == (.5, .9) and group['weight_decay'] == 0
    assert group['initial_lr'] == 1e-5
    assert group['lr'] == pytest.approx(warmup_cosine(1e-5, 1e-5, 6, 6, 0))
    assert runner.optim_wrapper.optimizer.state  # is kept
    assert runner.seed == runner.train_dataloader.sampler.seed == 7


def test_schedules_of_mmengine_are_taken_over_too(images, tmp_path) -> None:
    """They restore all that they were made with, a peak and an end of their own included."""
    def schedule(**changes: object) -> dict:
        return dict(type='CosineAnnealingLR', T_max=4, by_epoch=True,
                    convert_to_iter_based=True) | changes

    Runner.from_cfg(run_cfg(images, tmp_path / 'saved', epochs=1,
                            param_scheduler=schedule())).train()
    checkpoint, changed = tmp_path / 'saved' / 'epoch_1.pth', schedule(T_max=8, eta_min=1e-6)
    fresh = Runner.from_cfg(run_cfg(images, tmp_path / 'fresh', epochs=2, param_scheduler=changed))
    fresh.train()
    runner = Runner.from_cfg(run_cfg(
        images, tmp_path / 'run', epochs=2, param_scheduler=changed, resume=True,
        load_from=str(checkpoint), default_hooks=dict(
            start_checks=dict(type='StartChecksHook', mismatch='allow'))))
    runner.train()
    assert runner.optim_wrapper.get_lr() == fresh.optim_wrapper.get_lr()


@pytest.mark.parametrize('change', [
    dict(epochs=3), dict(train_dataloader=other(LOADER, num_workers=1, pin_memory=False)),
    dict(default_hooks=dict(checkpoint=dict(type='AtomicCheckpointHook', interval=2))),
    dict(custom_hooks=None), dict(visualizer=dict(type='Visualizer')),
    dict(model=other(model_cfg(), type='mmpretrain.ConMIM')),
    dict(model=other(model_cfg(), type=ConMIM)),
    dict(optim_wrapper=other(OPTIMIZER, optimizer__betas=[.9, .98], optimizer__fused=False)),
    dict(log_level='ERROR')], ids=str)
def test_other_things_may_change(images, tmp_path, saved, change: dict) -> None:
    runner = resumed(images, tmp_path / 'run', saved, **with_images(change, images))
    runner.train()
    assert runner.iter == runner.max_iters


def test_images_are_compared_by_their_names(images, tmp_path, saved) -> None:
    """Moved they are the same; others, as many, are not."""
    for folder, prefix in (('moved', ''), ('others', 'x')):
        (tmp_path / folder / 'sub').mkdir(parents=True)
        for path in images.iterdir():
            shutil.copy(path, tmp_path / folder / 'sub' / f'{prefix}{path.name}')
    moved, others = ({'train_dataloader': other(LOADER, dataset__data_root=str(tmp_path / folder))}
                     for folder in ('moved', 'others'))
    resumed(images, tmp_path / 'run', saved, **moved).train()
    with pytest.raises(InputError, match="check sum of the images' names: "):
        resumed(images, tmp_path / 'run', saved, **others).train()
    resumed(images, tmp_path / 'run', saved, mismatch='allow', **others).train()


@pytest.mark.parametrize('randomness', [
    dict(seed=None), dict(seed=None, diff_rank_seed=True)], ids=str)
def test_a_seed_that_was_drawn_stays(images, tmp_path, randomness) -> None:
    def run(name: str, **overrides) -> Runner:
        return Runner.from_cfg(run_cfg(images, tmp_path / name, param_scheduler=SCHEDULE,
                                       randomness=randomness, **overrides))

    first = run('saved', epochs=1)
    first.train()
    second = run('run', resume=True, load_from=str(tmp_path / 'saved' / 'epoch_1.pth'))
    second.train()
    seeds = [runner.train_dataloader.sampler.seed for runner in (first, second)]
    assert seeds[0] == seeds[1]


def test_a_rate_lowered_by_results_stays_when_the_run_gets_longer(images, tmp_path, saved) -> None:
    """As does what a schedule on plateaus has counted, from which it cannot be computed anew."""
    plateau = dict(type='ReduceOnPlateauLR', monitor='loss', patience=0)
    runner = Runner.from_cfg(run_cfg(images, tmp_path / 'run', epochs=3, param_scheduler=plateau))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    fresh = copy.deepcopy(runner.optim_wrapper.state_dict())
    for loss in (1., 2.):
        runner.param_schedulers[0].step(dict(loss=loss))
    checkpoint = torch.load(saved, weights_only=False) | dict(
        param_schedulers=[runner.param_schedulers[0].state_dict()],
        optimizer=copy.deepcopy(runner.optim_wrapper.state_dict()))
    runner.optim_wrapper.load_state_dict(fresh)
    runner.param_schedulers = runner.build_param_scheduler([plateau])
    take_new_settings(runner, checkpoint, {})
    rates = [group['lr'] for group in checkpoint['optimizer']['param_groups']]
    assert rates == pytest.approx([1e-4] * len(rates))
    assert checkpoint['param_schedulers'][0]['best'] == 1


def differing(before: dict, now: dict) -> tuple[set, set]:
    same = dict(model=dict(type='ConMIM')) | before, dict(model=dict(type='ConMIM')) | now
    changes = changed_settings(dict(settings=plain_data(same[0])), same[1])
    return set(changes.allowed), set(changes.others)


class Described:
    """Without a description of its own: that has its address."""


def test_descriptions_with_addresses_are_no_changes() -> None:
    def cfg() -> dict:
        return dict(model=dict(type='X', a=Described(), b=[partial(differing, Described())],
                               c=float('nan')), custom_hooks=[Described()])

    assert differing(cfg(), cfg()) == (set(), set())
    written = dict(settings=dict(model=dict(a='<Described object at 0x7f01>')))  # as it once was
    assert not changed_settings(written, dict(model=dict(a='<Described object at 0x9>'))).others
    assert differing(dict(model=dict(c=float('nan'))), dict(model=dict(c=1.)))[1] == {'model.c'}


@pytest.mark.parametrize('key', ['serialize_data', 'lazy_init'])
def test_how_annotations_are_held_may_change(key: str) -> None:
    before, now = (dict(train_dataloader=dict(dataset={key: value})) for value in (True, False))
    assert differing(before, now) == ({f'train_dataloader.dataset.{key}'}, set())


BUFFERS = dict(type='SyncBuffersHook')


@pytest.mark.parametrize(('before', 'now', 'allowed', 'others'), [
    ([], [dict(type='ProfilerHook')], {'ProfilerHook.type'}, set()),
    ([dict(type='EarlyStoppingHook', monitor='a')], [], {
        'EarlyStoppingHook.type', 'EarlyStoppingHook.monitor'}, set()),
    ([BUFFERS], [dict(type='mmengine.hooks.ProfilerHook'), BUFFERS], {'ProfilerHook.type'}, set()),
    ([dict(type='MyOwnHook', step=5)], [dict(type='MyOwnHook', step=0)], {'MyOwnHook.step'}, set()),
    ([dict(type='EMAHook', momentum=.1)], [dict(type='EMAHook', momentum=.2)], set(),
     {'EMAHook.momentum'}),
    ([], [BUFFERS], set(), {'SyncBuffersHook.type'}),
    ([], [dict(type='TeacherUpdateHook')], set(), {'TeacherUpdateHook.type'}),
    ([dict(type='MyOwnHook')] * 2, [dict(type='MyOwnHook')], {'MyOwnHook~2.type'}, set()),
])
def test_hooks_that_only_watch_may_be_added(before, now, allowed: set, others: set) -> None:
    assert differing(dict(custom_hooks=before), dict(custom_hooks=now)) == (
        {f'custom_hooks.{key}' for key in allowed}, {f'custom_hooks.{key}' for key in others})


def test_a_hook_among_the_default_ones_may_be_added() -> None:
    assert differing(dict(default_hooks=dict(a=dict(type='Mine'))), dict(default_hooks=dict(
        a=dict(type='Mine'), b=dict(type='ProfilerHook'), c=dict(type='EMAHook')))) == (
        {'default_hooks.b.type'}, {'default_hooks.c.type'})


@pytest.mark.parametrize('kind', ['os.system', 'this', 'x.y'])
def test_hooks_in_a_checkpoint_are_not_imported(kind: str, monkeypatch) -> None:
    monkeypatch.setattr('importlib.import_module', None)
    differing(dict(custom_hooks=[dict(type=kind)]), {})
