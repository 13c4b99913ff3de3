"""Going on with a run: with its own config, and no option that contradicts it."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmpretrain.registry import DATASETS, MODELS

from ...checkpoint.plain_data import plain_data
from ...checkpoint.reading import read_meta
from ...engine.hooks.start_checks.changed_settings import changed_settings, in_words
from ...engine.hooks.start_checks.run_facts import RUN_FACTS, data_facts, describe_changes
from ...errors import InputError
from ...utils.work_dir import checkpoint_folder, newest_complete_checkpoint
from ...utils.written_config import foreign_code, read_written_config, rewrite_config
from ...visualization.trackers import add_trackers
from ..options import add_online_evaluation, check_evaluation_images, use_mixed_precision
from .image_reading import READING_OPTIONS, show_bands
from .plan import STARTED_WITH, PretrainOptions, given_options, set_other_options
from .recipe import set_image_size
from .run_folder import CONFIG, describe_progress, holds_run
from .sources import (
    SOURCE_OPTIONS,
    Sources,
    check_outside,
    replace_training_images,
    resumed_sources,
    why_missing,
)
from .starting_weights import follow_folder

# options without which it would not be that run; and such that it can be told to take all the same
_OF_THE_MODEL = ('init', 'arch', 'student', 'config',
                 *(name for name in READING_OPTIONS if name != 'show_bands'))
_NEED_LEAVE = ('batch_size', 'lr', 'img_size', 'amp')


class Resumption(NamedTuple):
    """How a run goes on.

    Attributes:
        checkpoint: To go on from, found whole; None to start again.
        is_finished: Whether there is nothing left to do.
        processes: That train together.
        mismatch: What may be other than it was, as for :func:`set_mismatch`;
            None if nothing may.
    """

    checkpoint: Path | None
    is_finished: bool
    processes: int = 1
    mismatch: str | None = None


def resumed_run(options: PretrainOptions, say: Callable[[str], object]) -> Resumption:
    """Prepares the run in ``options.out`` to go on.

    Its config stays what it is, but for what is asked for now and may change: the number of epochs,
    where the images are, evaluation, trackers, workers and the like; with ``allow_mismatch``
    anything but the model's.

    Args:
        options: What is asked for.
        say: Gets what the user should know, a line at a time.

    Raises:
        InputError: There is no such run, or an option contradicts it.
    """
    out = options.out
    if not holds_run(out):
        raise InputError(f'there is no run in {out}: start one without --resume')
    if not (out / CONFIG).is_file():
        raise InputError(f'{out} has no {CONFIG}: go on with the command that started it, such as '
                         f'tools/train.py CONFIG --work-dir {out} --resume')
    path = out / CONFIG
    cfg = read_written_config(path)
    if not isinstance(cfg.get(STARTED_WITH), dict):
        raise InputError(f'{out / CONFIG} is not of conmim pretrain: go on with tools/train.py '
                         f'{out / CONFIG} --work-dir {out} --resume')
    if not options.config and (code := foreign_code(cfg.to_dict())):
        raise InputError(f'{path} would have {code} imported: if that is your own code, give the '
                         '--config of the run again')
    check_same_options(cfg[STARTED_WITH], given_options(options), out, options.allow_mismatch)
    old = copy.deepcopy(cfg)
    sources = choose_sources(Sources.of_options(cfg[STARTED_WITH]), options, say)
    apply_options(cfg, options, sources)
    saved = newest_complete_checkpoint(out, checkpoint_folder(out, cfg))
    meta = read_meta(saved) if saved else {}
    words, is_finished = describe_progress(meta, saved, cfg.train_cfg)
    if is_finished:
        say(f'the run in {out} is finished ({words}); a larger --epochs makes it longer')
        return Resumption(saved, is_finished=True)
    processes, mismatch = plan_resumption(
        cfg, meta.get(RUN_FACTS, {}), options.gpus, options.allow_mismatch, say)
    changes = check_changes(cfg, old, meta.get(RUN_FACTS, {}), options)
    if cfg.to_dict() != old.to_dict():
        rewrite_config(path, cfg)
        if cfg.train_cfg.get('max_epochs') != (epochs := old.train_cfg.get('max_epochs')):
            say(f'{cfg.train_cfg.max_epochs} epochs in place of {epochs}: learning rate and '
                'momentum follow the curves of the longer run from here on')
    for change in changes:
        say(change)
    say(f'going on with the run in {out}: {words}')
    return Resumption(saved, False, processes, mismatch)


def plan_resumption(cfg: Config, facts: dict, gpus: int | None, allow_mismatch: bool,
                    say: Callable[[str], object] = lambda line: None
                    ) -> tuple[int, str | None]:
    """Number of processes, and what may be other than it was, as in :class:`Resumption`.

    Args:
        cfg: Of the run.
        facts: Of the run when it was saved, as :func:`run_facts` gives them.
        gpus: Processes; by default as many as at the last saving.
        allow_mismatch: Whether anything may be other than it was.
        say: As for :func:`resumed_run`.

    Raises:
        InputError: There were more GPUs then, and it is not said.
    """
    planned = cfg[STARTED_WITH].get('gpus', 1), cfg.train_dataloader.batch_size
    was = facts.get('world_size', planned[0]), facts.get('batch_size', planned[1])
    there = torch.cuda.device_count()
    if not gpus and there and was[0] > there:
        fitting = next(n for n in range(there, 0, -1) if was[0] * was[1] % n == 0)
        raise InputError(f'the run was saved with {was[0]} processes, but there are {there} '
                         f'GPUs here: go on with --resume --gpus {fitting}')
    processes = gpus or was[0]
    if allow_mismatch:
        return processes, 'allow'
    if processes != was[0]:
        say(f'{processes} process{"es" * (processes > 1)} in place of {was[0]}, and as many '
            'images per step as before')
    # the images of each process are not those of the config if it went on like that before
    moved = (processes, planned[1]) != was and was[0] * was[1] == planned[0] * planned[1]
    return processes, 'rescale' if moved else None


def check_same_options(before: dict, now: dict, out: Path, allow_mismatch: bool) -> None:
    """Compares the options of a run with those of now; what is not given now is as it was.

    Raises:
        InputError: One of those that cannot change has done so.
    """
    fixed = _OF_THE_MODEL if allow_mismatch else (*_OF_THE_MODEL, *_NEED_LEAVE)
    for name in fixed:
        if name in now and before.get(name) != now[name]:
            option, was = f'--{name.replace("_", "-")}', before.get(name)
            leave = ', or --allow-mismatch to go on with it' if name in _NEED_LEAVE else ''
            raise InputError(
                f'the run in {out} was started with {option} {_shown(was)}, not '
                f'{_shown(now[name])}: leave {option} out to go on as it was{leave}, or choose '
                'another --out for a new run')


def choose_sources(before: Sources, options: PretrainOptions, say: Callable[[str], object]
                   ) -> Sources:
    """Where the images of a run are from now on.

    Without ``allow_mismatch`` they are the same ones, so that of a list its folder or file may be
    given alone; with it what is given takes the place of all that was.

    Args:
        before: Where they were when it was started.
        options: What is asked for.
        say: As for :func:`resumed_run`.

    Raises:
        InputError: There is no such thing, or the run lies in it.
    """
    given = options.sources
    if not given:
        return before
    if given.left_out:
        say(f'left out: {given.left_out}')
    now = given if options.allow_mismatch else resumed_sources(before, given)
    if now != given:
        say(f'{now.list_file} is read with paths from {now.folders[0]}')
    check_outside(options.out, now)
    return now


def apply_options(cfg: Config, options: PretrainOptions, sources: Sources | None = None) -> None:
    """Changes the config of a run by what is asked for now and was not before.

    Args:
        cfg: Changed in place.
        options: What is asked for.
        sources: Where the images are; by default where they were.

    Raises:
        InputError: An option that does not fit the config.
    """
    follow_folder(cfg, options.out)
    before = cfg[STARTED_WITH]
    new = {name: value for name, value in given_options(options).items()
           if before.get(name) != value and name not in SOURCE_OPTIONS}
    old_sources = Sources.of_options(before)
    sources = sources or old_sources
    if sources != old_sources:
        replace_training_images(cfg, old_sources, sources)
    if 'epochs' in new:
        set_epochs(cfg, new['epochs'], options.out)
    if 'batch_size' in new:
        cfg.train_dataloader.batch_size = new['batch_size']
    if 'lr' in new:
        cfg.optim_wrapper.optimizer.lr = new['lr']
    if 'img_size' in new:
        set_image_size(cfg, new['img_size'])
    if 'amp' in new:
        use_mixed_precision(cfg)
    if 'show_bands' in new:
        show_bands(cfg, new['show_bands'])
        MODELS.build(cfg.model.data_preprocessor)  # looks at them
    if 'eval_data' in new:
        add_online_evaluation(cfg, new['eval_data'])
        check_evaluation_images(cfg)
    add_trackers(cfg, new.get('track', ()))
    if 'cfg_options' in new:
        set_other_options(cfg, options.cfg_options)
        new['cfg_options'] = before.get('cfg_options', {}) | new['cfg_options']
    new.pop('gpus', None)  # the batch in the config is for those that were planned
    others = {name: value for name, value in before.items() if name not in SOURCE_OPTIONS}
    cfg[STARTED_WITH] = others | sources.as_options() | new


def check_changes(cfg: Config, old: Config, facts: dict, options: PretrainOptions) -> list[str]:
    """Compares a changed config with what it was, and its images with those of the run so far.

    Args:
        cfg: The config as it is asked for now.
        old: The run's own.
        facts: Of the run when it was saved.
        options: What is asked for.

    Returns:
        What is other and may be, or was allowed to be.

    Raises:
        InputError: Anything else is other than it was, and that is not allowed.
    """
    settings = changed_settings(dict(settings=plain_data(old.to_dict())), cfg.to_dict())
    dataset = cfg.train_dataloader.dataset
    if missing := why_missing(dataset):
        raise InputError(missing)
    was, now = (Sources.of_options(one[STARTED_WITH]) for one in (old, cfg))
    others = []
    if was.kind != now.kind:
        others.append(f'{now.in_words} in place of {was.in_words}')
        settings.others.pop('train_dataloader.dataset.type', None)
    others += in_words(settings.others)
    if options.sources:
        images = DATASETS.build(dataset | dict(pipeline=[]))
        others += describe_changes(facts, data_facts(images))
    if others and not options.allow_mismatch:
        raise InputError(f'the run in {options.out} would be another one: {", ".join(others)}. '
                         'Leave that out to go on as it was; or add --allow-mismatch to go on with '
                         'it')
    return in_words({key: pair for key, pair in settings.allowed.items()
                     if key != 'train_cfg.max_epochs'}) + others


def set_epochs(cfg: Config, epochs: int, out: Path) -> None:
    """Makes a run longer.

    Raises:
        InputError: It would be shorter than it is, or its length is in iterations.
    """
    old = cfg.train_cfg.get('max_epochs')
    if old is None:
        raise InputError(f'the run in {out} counts iterations: change them in {out / CONFIG}')
    if epochs < old:
        raise InputError(f'the run in {out} has {old} epochs, and --resume can only make it longer')
    cfg.train_cfg.max_epochs = epochs


def _shown(value: object) -> str:
    if value is None:
        return 'left out'
    if isinstance(value, dict):
        return ' '.join(f'{key}={one}' for key, one in value.items())
    return ' '.join(map(str, value)) if isinstance(value, list | tuple) else str(value)
