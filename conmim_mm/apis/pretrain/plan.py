"""From the options of ``conmim pretrain`` to a complete config and a summary of it."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmpretrain.registry import DATASETS

from ...engine.hooks.online_evaluation.images import check_apart, labelled_split
from ...errors import InputError
from ...utils.cli import COMMAND, explain
from ...utils.files import write_text
from ...utils.run_config import read_config
from ...utils.shipped_files import recipe_file
from ..options import use_mixed_precision
from .recipe import (
    Workload,
    because,
    check_parts,
    choose_batch,
    describe_model,
    doubt_rate,
    drop_variables,
    set_image_size,
    set_images,
    set_length,
    set_rates,
    set_workers,
    speed_up_table,
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


@dataclass(frozen=True)
class Plan:
    """A run before it starts.

    Attributes:
        cfg: Its config, complete.
        lines: What is worth knowing of it, by name.
        places: Where everything will lie, by name.
    """

    cfg: Config
    lines: dict[str, str]
    places: dict[str, str]

    def write(self, path: Path) -> None:
        """Writes the config, with the lines above it."""
        text = ''.join(f'# {line}\n' for line in _table(self.lines))
        write_text(path, f'# Written by `conmim pretrain`.\n{text}{self.cfg.pretty_text}')

    def summary(self) -> str:
        """Lines and places, for the terminal."""
        return '\n'.join(_table(self.lines | self.places))


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
                      + because(why_batch))
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


def given_options(args: argparse.Namespace) -> dict:
    """The options as plain data, folders as absolute paths; those that were not given left out."""
    values = {name: getattr(args, name) for name in OPTIONS}
    for name in ('data', 'eval_data', 'config'):
        if values[name]:
            values[name] = str(Path(values[name]).absolute())
    return {name: value for name, value in values.items() if value}


def add_what_is_shown(cfg: Config, args: argparse.Namespace) -> None:
    """Adds the evaluation while training and other places to log to."""
    if args.eval_data:
        from ..options import add_online_evaluation

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


def find_places(cfg: Config, out: Path) -> dict[str, str]:
    """Where a run with this config will leave what it makes."""
    saving = cfg.get('default_hooks', {}).get('checkpoint', {})
    interval, kept = saving.get('interval', 1), saving.get('max_keep_ckpts', -1)
    unit = 'epoch' if 'max_epochs' in cfg.train_cfg else 'iter'
    return dict(
        checkpoints=f'{out}/{unit}_N.pth, every '
        + (f'{interval} {unit}s' if interval > 1 else unit)
        + (f', the last {kept} are kept' if kept > 0 else ''),
        log=f'{out}/DATE/DATE.log',
        report=f'{out}/report.html',
        config=f'{out}/config.py; the same run again: python tools/train.py {out}/config.py '
        '--work-dir ANOTHER')


def _table(lines: dict[str, str]) -> list[str]:
    return [f'{name:<15}{text}' for name, text in lines.items() if text]
