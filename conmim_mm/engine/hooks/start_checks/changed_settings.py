"""Settings that are other than a checkpoint's: which of them may be, and taking over the others."""

import math
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from mmengine.hooks import DistSamplerSeedHook, EMAHook, ParamSchedulerHook, SyncBuffersHook
from mmengine.optim import ReduceOnPlateauParamScheduler
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

from ....checkpoint.plain_data import plain_data, without_addresses
from ....checkpoint.settings import flat_settings, saved_settings, type_name

# what the numbers of a run come from; all other settings may change
_COMPARED = ('model', 'data_preprocessor', 'train_dataloader', 'train_cfg', 'optim_wrapper',
             'param_scheduler', 'default_hooks', 'custom_hooks', 'randomness')
_MAY_CHANGE = re.compile('|'.join((
    # length and intervals
    r'train_cfg\.(max_epochs|max_iters|val_\w+|dynamic_intervals.*)', r'.*_hooks\.\w+\.interval',
    # reading, and places: the images are compared by their names
    r'train_dataloader\.(num_workers|persistent_workers|pin_memory|prefetch_factor|timeout)',
    r'train_dataloader\.(.+\.)?(serialize_data|lazy_init)',
    r'train_dataloader\.(.+\.)?(data_root|data_prefix(\..+)?|ann_file|shards|backend_args(\..+)?)',
    # how it is computed, not what
    r'optim_wrapper\.(max_bad_steps|optimizer\.(fused|foreach))', r'model\.(.+\.)?with_cp',
    # only used at the start, in tests, or in pictures
    r'model\.(.+\.)?(init_cfg(\..+)?|test_cfg(\..+)?)', r'model\.data_preprocessor\.shown_bands',
    # hooks that only watch, or start anew
    r'default_hooks\.(runtime_info|timer|logger|param_scheduler|checkpoint|sampler_seed'
    r'|visualization|start_checks|stop|live|loader|report|learning_monitor|skipped_images'
    r'|bad_numbers|compile)(\..+)?')))
# hooks that do more than watch: these packages' and those of MMEngine; of a user's own nobody knows
_TOOLBOXES = frozenset(('conmim_mm', 'mmpretrain', 'mmseg', 'mmdet', 'mmcv'))
_TAKE_PART = (EMAHook, SyncBuffersHook, ParamSchedulerHook, DistSamplerSeedHook)
# run_facts.py compares these, as images per step
_COUNTED = ('train_dataloader.batch_size', 'optim_wrapper.accumulative_counts')
_NEW_OPTIMIZER = re.compile(
    r'optim_wrapper\.(constructor|paramwise_cfg\..+|optimizer\.type)|model\..*frozen\w*')
_OF_THE_RATE = ('param_scheduler', 'optim_wrapper', 'auto_scale_lr')
_UNSET = 'not set'
NAMED = 5


class Changes(NamedTuple):
    """Settings that differ, by key: what the checkpoint has, and what the run has now.

    Attributes:
        allowed: May be other than they were.
        others: Make it another run.
    """

    allowed: dict[str, tuple[Any, Any]]
    others: dict[str, tuple[Any, Any]]


def changed_settings(meta: dict[str, Any], cfg: Mapping[str, Any]) -> Changes:
    """Compares the settings of a run with those in a checkpoint.

    Args:
        meta: The checkpoint's.
        cfg: The run's config as a dict.

    Raises:
        ValueError: What the checkpoint holds are no settings.
    """
    saved = saved_settings(dict(meta=meta))
    if not saved:
        return Changes({}, {})
    before, now = _compared(saved), _compared(plain_data(cfg))
    changes = Changes({}, {})
    for key in dict.fromkeys([*before, *now]):
        pair = before.get(key, _UNSET), now.get(key, _UNSET)
        if not _is_same(key, *pair):
            may = _MAY_CHANGE.fullmatch(key) or _is_of_a_watcher(key, before, now)
            kind = changes.allowed if may else changes.others
            kind[key] = pair
    return changes


def in_words(changes: Mapping[str, tuple[Any, Any]], named: int = NAMED) -> list[str]:
    """A phrase for each of the first changes, and one for the others."""
    words = [f'{key}: {old!r} in the checkpoint, {new!r} here'
             for key, (old, new) in changes.items()]
    return words if len(words) <= named else [*words[:named], f'{len(words) - named} settings more']


def take_new_settings(runner: Runner, checkpoint: dict[str, Any], changed: Collection[str]) -> None:
    """Has a run that goes on train with its own settings, not with those kept in a checkpoint.

    Which are the seed, the optimizer's and where the schedules stand: these are taken through the
    steps gone by. The optimizer's state goes where it is of another kind.

    Args:
        runner: With optimizer and schedules as they are at the start.
        checkpoint: Changed in place.
        changed: Keys of the settings.
    """
    if any(key.startswith('randomness.') for key in changed):
        checkpoint['meta']['seed'] = runner.seed
    _advance_schedules(runner, checkpoint['meta']['iter'])
    if 'param_schedulers' in checkpoint and isinstance(runner.param_schedulers, list):
        if not any(key.startswith(_OF_THE_RATE) for key in changed):
            _keep_measured_values(runner, checkpoint)
        checkpoint['param_schedulers'] = [
            schedule.state_dict() for schedule in runner.param_schedulers]
    saved = checkpoint.get('optimizer', {}).get('param_groups')
    own = getattr(getattr(runner.optim_wrapper, 'optimizer', None), 'param_groups', None)
    if not saved or not own:
        return
    if any(_NEW_OPTIMIZER.fullmatch(key) for key in changed) or (
            [len(group['params']) for group in saved] != [len(group['params']) for group in own]):
        runner.logger.warning("the optimizer's state starts anew: it is of other parameters or of "
                              'another optimizer')
        del checkpoint['optimizer']
        return
    checkpoint['optimizer']['param_groups'] = [
        {**group, 'params': old['params']} for old, group in zip(saved, own, strict=True)]
    if 'base_param_settings' in checkpoint['optimizer']:  # MMEngine's, for the log
        checkpoint['optimizer']['base_param_settings'] = runner.optim_wrapper.base_param_settings


def _compared(settings: Mapping[str, Any]) -> dict[str, Any]:
    parts = {key: settings[key] for key in _COMPARED if settings.get(key)}
    if hooks := parts.pop('custom_hooks', None):
        parts['custom_hooks'] = _by_type(hooks)
    scaling = settings.get('auto_scale_lr') or {}
    if scaling.get('enable'):
        parts['auto_scale_lr'] = scaling
    return {key: value for key, value in flat_settings(parts) if key not in _COUNTED}


def _by_type(hooks: Sequence[Any]) -> dict[str, Any]:
    # one more hook before them makes the others no other hooks
    named = {}
    for hook in hooks:
        if not isinstance(hook, Mapping):  # the description of an object
            hook = dict(type=without_addresses(str(hook)).strip('<>').partition(' ')[0])
        name = type_name(hook)
        alike = sum(one == name or one.startswith(f'{name}~') for one in named)
        named[f'{name}~{alike + 1}' if alike else name] = hook
    return named


def _is_of_a_watcher(key: str, *settings: Mapping[str, Any]) -> bool:
    part, _, rest = key.partition('.')
    if not part.endswith('_hooks'):
        return False
    types = [one.get(f'{part}.{rest.partition(".")[0]}.type') for one in settings]
    return all(_is_watcher(str(kind)) for kind in types if kind) and any(types)


def _is_watcher(kind: str) -> bool:
    # never by the full name, which would import what a checkpoint names
    name = type_name(kind)
    found = [registry.module_dict[name] for registry in (HOOKS, *HOOKS.children.values())
             if name in registry.module_dict]
    packages = {kind.partition('.')[0], *(one.__module__.partition('.')[0] for one in found)}
    return _TOOLBOXES.isdisjoint(packages) and not any(issubclass(one, _TAKE_PART) for one in found)


def _is_same(key: str, old: Any, new: Any) -> bool:
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(_is_same, [key] * len(old), old, new))
    if key.endswith('.type'):
        return type_name(old) == type_name(new)
    if isinstance(old, str) and isinstance(new, str):
        return without_addresses(old) == without_addresses(new)
    if isinstance(old, float) and isinstance(new, float) and math.isnan(old) and math.isnan(new):
        return True
    return old == new or (old is None and new == _UNSET) or (old == _UNSET and new is None)


def _advance_schedules(runner: Runner, iterations: int) -> None:
    schedules = runner.param_schedulers or []
    if isinstance(schedules, dict):
        schedules = [one for several in schedules.values() for one in several]
    length = len(runner.train_dataloader)
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # PyTorch expects a step of the optimizer between two
        for done in range(1, iterations + 1):
            for schedule in schedules:
                if not schedule.by_epoch or (by_epoch and done % length == 0):
                    schedule.step()


def _keep_measured_values(runner: Runner, checkpoint: dict[str, Any]) -> None:
    # what such a schedule made of the results of validations cannot be computed anew
    saved = checkpoint.get('optimizer', {})
    groups = [*saved.get('param_groups', []), saved.get('base_param_settings')]
    for schedule, state in zip(
            runner.param_schedulers, checkpoint['param_schedulers'], strict=False):
        if not isinstance(schedule, ReduceOnPlateauParamScheduler):
            continue
        schedule.load_state_dict(state)
        keys = schedule.param_name, *(['betas'] if schedule.param_name == 'momentum' else [])
        for own, old in zip(schedule.optimizer.param_groups, groups, strict=False):
            own.update({key: old[key] for key in keys if key in (old or {})})
