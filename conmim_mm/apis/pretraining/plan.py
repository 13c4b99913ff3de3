"""From the options of a pre-training to a complete config and a summary of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from shlex import quote

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS

from ...checkpoint.settings import type_name
from ...datasets.grey_levels import check_channels, describe_lost_levels, look_at
from ...datasets.replacing_dataset import ReplacingDataset
from ...errors import InputError, one_line
from ...formats.backbone import save_weights
from ...formats.hubs import is_hub_name
from ...formats.source import BackboneSource, read_source
from ...utils.cli import COMMAND, explain
from ...utils.files import escape_name
from ...utils.run_config import change_config, read_config
from ...utils.shipped_files import recipe_file
from ...utils.written_config import write_config
from ...visualization.trackers import add_trackers
from ..options import (
    add_online_evaluation,
    check_evaluation_folder,
    check_evaluation_images,
    use_mixed_precision,
)
from .image_reading import READING_OPTIONS, set_reading
from .recipe import (
    RECIPE_IMAGES,
    Workload,
    because,
    choose_batch,
    describe_model,
    describe_student,
    fit_teacher,
    keep_teacher_slow,
    low_lr_warning,
    raise_table_lr,
    set_image_size,
    set_lr_and_warmup,
    set_num_epochs,
    set_workers,
    slow_down,
)
from .sources import Places, Sources, find_sources, set_training_images
from .starting_weights import (
    STARTING_WEIGHTS,
    check_settings,
    nearest_arch,
    new_parts,
    spread_channels,
    start_from,
)

# In the written config: the options it was made with, which --resume compares.
STARTED_WITH = 'started_with'
OPTIONS = ('init', 'arch', 'student', 'config', 'epochs', 'batch_size', 'lr', 'img_size',
           'amp', 'cfg_options', 'gpus', 'eval_data', 'track', *READING_OPTIONS)
# Variables of config files that only other settings of theirs are made of.
_VARIABLES = ('arch', 'backbone', 'train_pipeline', 'batch_size', 'max_iters', 'learning_rate',
              'img_size', 'patch_size', 'data_prefix')
_COMMAND_LINE_OPTION = {
    'train_dataloader.batch_size': '--batch-size', 'train_cfg.max_epochs': '--epochs',
    'train_cfg.max_iters': '--epochs', 'optim_wrapper.optimizer.lr': '--lr', 'work_dir': '--out',
    'data_root': '--data', 'train_dataloader.dataset.data_root': '--data',
    'train_dataloader.dataset.ann_file': '--list', 'train_dataloader.dataset.shards': '--shards',
    'model.backbone.img_size': '--img-size', 'model.backbone.in_channels': '--channels',
    'model.data_preprocessor.shown_bands': '--show-bands',
    'resume': '--resume', 'launcher': '--gpus'}


@dataclass(frozen=True)
class PretrainOptions:
    """What is asked for; each as the argument of :func:`pretrain` of that name."""

    data: Places | None = None
    list_file: str | Path | None = None
    shards: str | Sequence[str] | None = None
    out: Path | None = None
    init: str | None = None
    arch: str | None = None
    student: str | None = None
    config: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    img_size: int | tuple[int, int] | None = None
    amp: bool = False
    cfg_options: dict[str, object] = field(default_factory=dict)
    gpus: int | None = None
    resume: bool = False
    overwrite: bool = False
    allow_mismatch: bool = False
    eval_data: Path | None = None
    track: tuple[str, ...] = ()
    channels: int | None = None
    value_range: tuple[float, float] | str | None = None
    mean_std: str | None = None
    bands_from: str | None = None
    view_dtype: str | None = None
    show_bands: tuple[int, ...] = ()

    @cached_property
    def sources(self) -> Sources:
        """Where the images are.

        Raises:
            InputError: As :func:`find_sources`.
        """
        return find_sources(self.data, self.list_file, self.shards)


@dataclass(frozen=True)
class Plan:
    """A run before it starts.

    Attributes:
        cfg: Its config, complete.
        lines: What is worth knowing of it, by name.
        places: Where everything will lie, by name.
        init: The weights it starts from, as a checkpoint; None for random ones.
    """

    cfg: Config
    lines: dict[str, str]
    places: dict[str, str]
    init: dict | None = None

    def write(self, path: Path) -> None:
        """Writes the config, with the lines above it, and the weights beside it."""
        if self.init:
            save_weights(self.init, path.parent / STARTING_WEIGHTS)
        write_config(path, self.cfg, ['Written by `conmim pretrain`.', *_table(self.lines)])

    def summary(self) -> str:
        """Lines and places, for the terminal."""
        return '\n'.join(_table(self.lines | self.places))


def plan_run(options: PretrainOptions) -> Plan:
    """The config of a new run on somebody's images.

    Args:
        options: ``sources`` are there, ``out`` is set, and ``arch``, ``config`` or ``init`` is.

    Raises:
        InputError: The config is of another kind, or the options or images don't fit it.
    """
    source = options.init and read_source(options.init)
    if source and not options.config:
        options = replace(options, arch=nearest_arch(source), student=options.student or 'visible')
    cfg = read_config(str(options.config or recipe_file(options.arch, options.student or 'paper')))
    try:
        return fit_config(cfg, options, source)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        given = ' with '.join(['--config'] * bool(options.config)
                              + ['--cfg-options'] * bool(options.cfg_options))
        if explain(error) or not given:
            raise
        raise InputError(
            f'{COMMAND} pretrain cannot work with this {given} '
            f'({type(error).__name__}: {one_line(error)}): correct it, or start a config of '
            'another shape with tools/train.py') from error


def is_short(cfg: Config, images: int, epochs: int | None) -> bool:
    """Whether a run sees less than a tenth of the images of its ImageNet recipe.

    The paper's student has been shown to learn at that length; short runs gain most from steps that
    take a third of the time (docs/performance.md). Where the line is best drawn was not measured.

    Args:
        cfg: The paper's recipe.
        images: Of the data set.
        epochs: The user's; by default the recipe's.
    """
    epochs = epochs or cfg.train_cfg.get('max_epochs')
    return 'max_iters' in cfg.train_cfg or images * epochs < RECIPE_IMAGES / 10


def fit_config(cfg: Config, options: PretrainOptions, source: BackboneSource | None) -> Plan:
    """Fits a config to the images and the options; as :func:`plan_run`.

    Args:
        cfg: Changed in place; the paper's recipe is left for that of visible patches where the form
            of the student is ours to choose and the run is short.
        options: As for :func:`plan_run`.
        source: The weights to start from; None for random ones.
    """
    if type_name(cfg.get('model', {})) != 'ConMIM':
        raise InputError(f'{options.config} is no pre-training config; take one of configs/conmim')
    place = set_training_images(cfg, options.sources)
    training_set = DATASETS.build(cfg.train_dataloader.dataset | dict(pipeline=[]))
    if options.eval_data:  # before anything is written or started
        check_evaluation_folder(str(options.eval_data), training_set)
    images = len(training_set)
    if options.arch and not options.student and is_short(cfg, images, options.epochs):
        cfg = read_config(str(recipe_file(options.arch, 'visible')))
        set_training_images(cfg, options.sources)
    lines = {'images': f'{images:,} in {place}'} | {name: '; '.join(filter(None, (
        getattr(found, key, '') for found in (options.sources, training_set))))
        for name, key in {'left out': 'left_out', 'found again': 'repeated'}.items()}
    init, reading_options = None, {
        name: value for name in READING_OPTIONS if (value := getattr(options, name))}
    if source:
        own = source.settings['in_channels']
        channels = options.channels or own
        source = spread_channels(source, channels)
        if channels not in (own, 3):  # nobody knows their mean
            reading_options.setdefault('mean_std', 'auto')
        found, init = start_from(cfg, source, options.out, options.img_size)
        lines |= found
    elif options.img_size:
        set_image_size(cfg, options.img_size)
    if isinstance(training_set, ReplacingDataset):
        found, how = set_reading(cfg, training_set, reading_options)
        lines |= found
        seen = look_at(training_set, how)
        check_channels(seen.errors, len(seen.errors) + len(seen.levels), how.channels)
        lines['grey levels'] = describe_lost_levels(seen.levels)
    lines['model'] = describe_model(
        cfg, options.config or f'configs/conmim/{Path(cfg.filename).name}')
    lines['student'] = describe_student(cfg, options.arch, options.student)

    processes = options.gpus or 1
    recipe_batch = cfg.train_dataloader.batch_size
    batch, why_batch = choose_batch(
        images, processes, recipe_batch,
        options.batch_size or (recipe_batch if options.config else None),
        torch.cuda.is_available())
    cfg.train_dataloader.batch_size = batch
    there = torch.cuda.device_count()
    if there > processes:
        lines['GPUs'] = f'{processes} of {there} (--gpus {there} uses all)'
    work = Workload(images, processes, batch, epochs=1)
    work = replace(work, epochs=set_num_epochs(
        cfg, options.epochs, work.epoch_length, keeps=bool(options.config)))
    each = f' on each of {processes} processes, {work.total_batch} together'
    lines['batch'] = (f'{batch} image{"s" * (batch > 1)}{each * (processes > 1)}'
                      + because(why_batch))
    lines['length'] = (f'{work.epochs:g} epoch{"s" * (work.epochs != 1)} x '
                       f'{work.epoch_length:,} = {work.steps:,} steps')
    is_large_recipe = options.arch in ('s', 'b', 'l')  # for ImageNet, to be fit to fewer images
    lines['learning rate'] = set_lr_and_warmup(
        cfg, None if source else options.lr, is_large_recipe, work)
    if source:
        lines['of the weights'] = slow_down(cfg, options.lr, new_parts(cfg))
    if options.arch and source:
        keep_teacher_slow(cfg)
    elif options.arch:
        lines |= fit_teacher(cfg, work.steps, options.cfg_options)
    if is_large_recipe and not source:
        lines['position table'] = raise_table_lr(cfg, work)
        lines['note'] = low_lr_warning(cfg, work.steps)
    lines['workers'] = set_workers(cfg, processes)
    cfg.setdefault('runner_type', 'mmpretrain.BriefRunner')
    cfg.work_dir, cfg.experiment_name = str(options.out.absolute()), options.out.absolute().name
    if options.eval_data:
        add_online_evaluation(cfg, str(options.eval_data.absolute()))
    if options.track:
        add_trackers(cfg, options.track)
    if options.amp:
        use_mixed_precision(cfg)
    backbone = source and cfg.model.backbone.to_dict()
    set_other_options(cfg, options.cfg_options)
    lines['--cfg-options'] = ', '.join(
        f'{key}={value}' for key, value in options.cfg_options.items()
    ) + ' (above all that is said here)' * bool(options.cfg_options)
    if source:
        check_settings(cfg, backbone)
    for name in _VARIABLES:  # nothing reads them any more, so nobody shall edit them
        cfg.pop(name, None)
    cfg[STARTED_WITH] = given_options(options)
    # a setting that does not fit leaves no half-begun run behind
    init_default_scope('mmpretrain')
    DATASETS.build(cfg.train_dataloader.dataset | dict(lazy_init=True))
    if options.eval_data:
        check_evaluation_images(cfg)
    with torch.device('meta'):  # no memory, no time
        MODELS.build(cfg.model)
    return Plan(cfg, lines, find_places(cfg, options.out), init)


def given_options(options: PretrainOptions) -> dict:
    """The options as plain data, folders as absolute paths; those that were not given left out."""
    values = {name: getattr(options, name) for name in OPTIONS} | dict(
        track=list(options.track), show_bands=list(options.show_bands))
    if isinstance(options.value_range, tuple):
        values['value_range'] = list(options.value_range)
    for name in ('eval_data', 'config', 'init'):
        place = str(values[name] or '')
        if place and not (name == 'init' and (is_hub_name(place) or '://' in place)):
            values[name] = str(Path(place).absolute())
    return options.sources.as_options() | {name: value for name, value in values.items() if value}


def set_other_options(cfg: Config, changes: dict[str, object]) -> None:
    """Changes any setting, by dotted key.

    Raises:
        InputError: They do not fit the config, or there is an option of its own for one.
    """
    for key in changes:
        if key.startswith('train_dataloader.') and 'reading' in key.split('.'):
            raise InputError('give --channels, --value-range and the like in place of '
                             f'--cfg-options {key}=...: mean, backbone and evaluation follow them')
        if key in _COMMAND_LINE_OPTION:
            raise InputError(
                f'give {_COMMAND_LINE_OPTION[key]} in place of --cfg-options {key}=...')
    change_config(cfg, changes, 'the config')


def find_places(cfg: Config, out: Path) -> dict[str, str]:
    """Where a run with this config will leave what it makes."""
    saving = cfg.get('default_hooks', {}).get('checkpoint') or {}
    interval, kept = saving.get('interval', 1), saving.get('max_keep_ckpts', -1)
    unit = 'epoch' if 'max_epochs' in cfg.train_cfg else 'iter'
    return dict(
        checkpoints=f'{out}/{unit}_N.pth, every '
        + (f'{interval} {unit}s' if interval > 1 else unit)
        + (f', the last {kept} are kept' if kept > 0 else ''),
        log=f'{out}/DATE/DATE.log',
        report=f'{out}/report.html',
        config=f'{out}/config.py; the same run again: python tools/train.py '
        f'{quote(f"{out}/config.py")} --work-dir ANOTHER')


def _table(lines: dict[str, str]) -> list[str]:
    return [f'{name:<15}{escape_name(text)}' for name, text in lines.items() if text]
