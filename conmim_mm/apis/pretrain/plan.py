"""From the options of ``conmim pretrain`` to a complete config and a summary of it."""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS

from ...commands.doctor.checks_machine import usable_cores
from ...commands.run_plan import Plan, find_places
from ...datasets.labelled_folder import held_out_beside
from ...engine.hooks.online_evaluation.images import check_apart, labelled_split
from ...errors import InputError
from ...utils.cli import COMMAND, explain
from ...utils.run_config import read_config, replace_data_root
from ...utils.shipped_files import recipe_file
from ..train import use_mixed_precision
from .recipe import (
    Workload,
    choose_batch,
    doubt_rate,
    drop_variables,
    scale_rate,
    set_image_size,
    shorten_warmup,
    speed_up_table,
    train_by_epochs,
)

# In the written config: the options it was made with, which --resume compares.
STARTED_WITH = 'started_with'
OPTIONS = ('data', 'arch', 'config', 'epochs', 'batch_size', 'lr', 'img_size', 'amp',
           'cfg_options', 'gpus', 'eval_data', 'track')
_OWN_OPTION = {
    'train_dataloader.batch_size': '--batch-size', 'train_cfg.max_epochs': '--epochs',
    'train_cfg.max_iters': '--epochs', 'optim_wrapper.optimizer.lr': '--lr', 'work_dir': '--out',
    'data_root': '--data', 'train_dataloader.dataset.data_root': '--data',
    'model.backbone.img_size': '--img-size', 'resume': '--resume', 'launcher': '--gpus'}


def plan_run(args: argparse.Namespace) -> Plan:
    """The config of a new run on a folder of images.

    Args:
        args: Of ``conmim pretrain``; ``data`` exists, and either ``arch`` or ``config`` is set.

    Raises:
        InputError: The config is of another kind, or the options or images don't fit it.
    """
    cfg = read_config(str(args.config or recipe_file(args.arch)))
    try:
        return fit_config(cfg, args)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        given = ' with '.join(['--config'] * bool(args.config)
                              + ['--cfg-options'] * bool(args.cfg_options))
        if explain(error) or not given:
            raise
        reason = ' '.join(str(error).split())
        raise InputError(
            f'{COMMAND} pretrain cannot work with this {given} ({type(error).__name__}: {reason}): '
            'correct it, or start a config of another shape with tools/train.py') from error


def fit_config(cfg: Config, args: argparse.Namespace) -> Plan:
    """Fits a config, in place, to the images and the options; as :func:`plan_run`."""
    if cfg.get('model', {}).get('type', '').rpartition('.')[2] != 'ConMIM':
        raise InputError(f'{args.config} is no pre-training config; take one of configs/conmim')
    lines = dict(images=set_images(cfg, args.data.absolute()))
    dataset = cfg.train_dataloader.dataset
    training_set = DATASETS.build(dataset | dict(pipeline=[]))
    if args.eval_data:  # before anything is written or started
        labelled_split(str(args.eval_data))
        check_apart(str(args.eval_data), training_set)
    images = len(training_set)
    lines['images'] = f'{images:,} in {lines["images"]}'
    if args.img_size:
        set_image_size(cfg, args.img_size)
    lines['model'] = describe_model(cfg, args)

    processes = args.gpus or 1
    recipe_batch = cfg.train_dataloader.batch_size
    batch, why_batch = choose_batch(
        images, processes, recipe_batch, args.batch_size or (args.config and recipe_batch),
        torch.cuda.is_available())
    cfg.train_dataloader.batch_size = batch
    there = torch.cuda.device_count()
    if there > processes:
        lines['GPUs'] = f'{processes} of {there} (--gpus {there} uses all)'
    work = Workload(images, processes, batch, epochs=1)
    work = replace(work, epochs=set_length(cfg, args, work.epoch_length))
    each = f' on each of {processes} processes, {work.total_batch} together'
    lines['batch'] = (f'{batch} image{"s" * (batch > 1)}{each * (processes > 1)}'
                      + _because(why_batch))
    lines['length'] = (f'{work.epochs:g} epoch{"s" * (work.epochs != 1)} x '
                       f'{work.epoch_length:,} = {work.steps:,} steps')
    lines['learning rate'] = set_rates(cfg, args, work)
    if args.arch in ('s', 'b', 'l'):
        lines['position table'] = speed_up_table(cfg, work)
        lines['note'] = doubt_rate(cfg, work.steps)
    lines['workers'] = set_workers(cfg, processes)
    cfg.setdefault('runner_type', 'mmpretrain.BriefRunner')
    cfg.work_dir, cfg.experiment_name = str(args.out.absolute()), args.out.absolute().name
    add_what_is_shown(cfg, args)
    set_other_options(cfg, args)
    drop_variables(cfg)
    cfg[STARTED_WITH] = given_options(args)
    check_parts(cfg)
    return Plan(cfg, lines, find_places(cfg, args.out))


def check_parts(cfg: Config) -> None:
    """Builds what settings may not fit, so that a wrong one leaves no half-begun run behind."""
    init_default_scope('mmpretrain')
    DATASETS.build(cfg.train_dataloader.dataset | dict(lazy_init=True))
    with torch.device('meta'):  # no memory, no time
        MODELS.build(cfg.model)


def given_options(args: argparse.Namespace) -> dict:
    """The options as plain data, folders as absolute paths; those that were not given left out."""
    values = {name: getattr(args, name) for name in OPTIONS}
    for name in ('data', 'eval_data', 'config'):
        if values[name]:
            values[name] = str(Path(values[name]).absolute())
    return {name: value for name, value in values.items() if value}


def set_images(cfg: Config, data: Path) -> str:
    """Lets a config read the images of a folder; which these are, in words."""
    dataset = cfg.train_dataloader.dataset
    if dataset.get('type', '').rpartition('.')[2] != 'ImageFiles':
        raise InputError(f'{cfg.filename} reads {dataset.get("type")}, not a folder of images: '
                         'start it with tools/train.py')
    if cfg.get('data_root'):
        replace_data_root(cfg, str(data))
        dataset = cfg.train_dataloader.dataset
    split = held_out_beside(str(data))
    dataset.update(data_root=str(data), data_prefix=split[0] if split else '')
    return f'{data / split[0]} ({split[1]} beside it is left out)' if split else str(data)


def describe_model(cfg: Config, args: argparse.Namespace) -> str:
    """Size of the ViT, and the config it comes from."""
    backbone = cfg.model.backbone
    arch = backbone.arch
    size = (f'{arch["embed_dims"]} wide, {arch["num_layers"]} deep' if isinstance(arch, dict)
            else arch)
    name = args.config or f'configs/conmim/{recipe_file(args.arch).name}'
    return (f'ViT, {size}, patches of {backbone.get("patch_size", 16)}, views of '
            f'{backbone.get("img_size", 224)} pixels ({name})')


def set_length(cfg: Config, args: argparse.Namespace, epoch_length: int) -> float:
    """Fixes the length of the run; how many epochs it has."""
    max_iters = cfg.train_cfg.get('max_iters')
    if max_iters and args.config and not args.epochs:
        return round(max_iters / epoch_length, 2)  # as the user's config has it
    recipe = math.ceil(max_iters / epoch_length) if max_iters else cfg.train_cfg.max_epochs
    epochs = args.epochs or recipe
    train_by_epochs(cfg, epochs, epoch_length)
    return epochs


def set_rates(cfg: Config, args: argparse.Namespace, work: Workload) -> str:
    """Sets learning rate and warm-up; both in words."""
    optimizer = cfg.optim_wrapper.optimizer
    if args.arch in ('s', 'b', 'l') and not args.lr:
        rate = scale_rate(cfg, work.total_batch)
    else:
        optimizer.lr = args.lr or optimizer.lr
        rate = f'{optimizer.lr:.2g}'
    if 'max_epochs' not in cfg.train_cfg:
        return rate
    why = shorten_warmup(cfg, work.epochs)
    schedule = cfg.get('param_scheduler')
    if isinstance(schedule, dict) and schedule.get('warmup'):
        rate += f', warm-up {schedule.warmup:g} epochs{_because(why)}'
    return rate


def set_workers(cfg: Config, processes: int) -> str:
    """Lets no more processes read images than there are cores; how many do."""
    loader = cfg.train_dataloader
    cores, usual = usable_cores(), loader.get('num_workers', 0)
    loader.num_workers = min(usual, max(1, cores // processes))
    if not usual:
        return 'none: the training reads its images itself'
    few = f'the recipe has {usual}, this machine {cores} cores'
    return (f'{loader.num_workers} read the images' + ' of each process' * (processes > 1)
            + (_because(few) if loader.num_workers < usual else ''))


def add_what_is_shown(cfg: Config, args: argparse.Namespace) -> None:
    """Adds the evaluation while training and other places to log to."""
    if args.eval_data:
        from ...online_evaluation import add_online_evaluation

        add_online_evaluation(cfg, str(args.eval_data.absolute()))
    if args.track:
        from ...visualization.trackers import add_trackers

        add_trackers(cfg, args.track)


def set_other_options(cfg: Config, args: argparse.Namespace) -> None:
    """Applies ``--amp`` and ``--cfg-options``.

    Raises:
        InputError: They do not fit the config, or there is an option of its own for one.
    """
    if args.amp:
        use_mixed_precision(cfg)
    if not args.cfg_options:
        return
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs='+', action=DictAction)
    for option in args.cfg_options:
        key, found, _ = option.partition('=')
        if not found:
            raise InputError(f'--cfg-options takes KEY=VALUE, but got {option!r}')
        if key in _OWN_OPTION:
            raise InputError(f'give {_OWN_OPTION[key]} in place of --cfg-options {key}=...')
    options = parser.parse_args(['--options', *args.cfg_options]).options
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f'--cfg-options do not fit the config: {error}') from error


def _because(why: str) -> str:
    return f' ({why})' if why else ''
