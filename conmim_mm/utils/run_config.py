"""Configs read, changed by options and fit to this machine, and the arguments that ask for it."""

import argparse
import itertools
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from mmengine.config import Config, DictAction

from ..checkpoint.integrity import PICKLE
from ..checkpoint.reading import check_checkpoint_file
from ..errors import InputError, one_line

_SPACE = '\0'
_NO_TEXT = ('None', 'True', 'False', 'true', 'false')
_HOOKS_OF_EVERY_RUN = (
    'runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that change a config."""
    parser.add_argument('--data-root', metavar='DIR',
                        help="where the data lies, in place of the config's data_root")
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_ReadOptions,
        metavar='KEY=VALUE',
        help='override settings of the config, such as '
        'train_dataloader.dataset.data_root=/my/photos')


class OptionText(str):
    """The value of an option as typed; how it is read depends on what the config holds there."""


def option_texts(words: Sequence[str]) -> dict[str, OptionText]:
    """``KEY=VALUE`` words by key.

    Raises:
        InputError: One has no ``=``.
    """
    for word in words:
        if '=' not in word:
            raise InputError(f'--cfg-options takes KEY=VALUE, but got {word!r}')
    return {key: OptionText(text) for key, _, text in (word.partition('=') for word in words)}


class _ReadOptions(argparse.Action):

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Sequence[str], *_: object) -> None:
        before = getattr(namespace, self.dest) or {}
        setattr(namespace, self.dest, before | option_texts(values))


def read_option(text: str, held: object) -> object:
    """The value of an option.

    Args:
        text: As typed.
        held: What the config holds there; None for nothing.

    Returns:
        The text itself where the config holds a string, unless it is None, true, false or a list in
        brackets, where MMEngine's way to read numbers and lists finds neither, and where it is the
        name of a file.
    """
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in '\'"'
    plain = text[1:-1] if quoted else text
    if isinstance(held, str) and not (text in _NO_TEXT or _is_in_brackets(text)):
        return plain
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs='+', action=DictAction)
    # it would drop all spaces
    kept = re.sub(r'(?<=[^\s,[(]) +(?=[^\s,\])])', lambda spaces: len(spaces[0]) * _SPACE, text)
    try:
        value = parser.parse_args(['--options', f'x={kept}']).options['x']
    except AssertionError:  # brackets that do not close
        return plain
    if isinstance(value, str) or isinstance(value, list | tuple) and os.path.exists(text):
        return plain
    return _with_spaces(value)


def _is_in_brackets(text: str) -> bool:
    # the first bracket closes at the end: not the name '(1) a (2)'
    if (text[:1], text[-1:]) not in (('[', ']'), ('(', ')')):
        return False
    depths = list(itertools.accumulate((char in '[(') - (char in '])') for char in text))
    return depths[-1] == 0 and 0 not in depths[:-1]


def _with_spaces(value: object) -> object:
    if isinstance(value, list | tuple):
        return type(value)(map(_with_spaces, value))
    return value.replace(_SPACE, ' ') if isinstance(value, str) else value


def read_config(path: str, options: dict | None = None, data_root: str | None = None) -> Config:
    """A config file with the options of :func:`add_config_arguments` applied.

    Raises:
        InputError: No such config, one that cannot be read, or an option that does not fit it.
    """
    if not Path(path).is_file():
        raise InputError(f'no such config: {path}')
    if Path(path).suffix.lower() in ('.yaml', '.yml'):
        raise InputError(f'{path} is YAML, which is not read here: write it as .py or .json')
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is code, so anything can go wrong in it
        raise InputError(
            f'cannot read {path}: {type(error).__name__}: {one_line(error)}') from error
    change_config(cfg, options or {}, path)
    if data_root:
        replace_data_root(cfg, data_root)
    return cfg


def change_config(cfg: Config, options: dict, name: str) -> None:
    """Applies ``--cfg-options`` to a config.

    Raises:
        InputError: They do not fit it; the message uses the name.
    """
    try:
        cfg.merge_from_dict({
            key: read_option(value, _held(cfg, key)) if isinstance(value, OptionText) else value
            for key, value in options.items()})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f'--cfg-options do not fit {name}: {error}') from error


def _held(part: object, key: str) -> object:
    for name in key.split('.'):
        if isinstance(part, list | tuple) and name.isdecimal() and int(name) < len(part):
            part = part[int(name)]
        else:
            part = part.get(name) if isinstance(part, Mapping | Config) else None
    return part


def replace_data_root(cfg: Config, folder: str) -> None:
    """Puts a folder in the place of the config's ``data_root``, wherever that was used.

    MMEngine evaluates a config file before it sees an option, so ``--cfg-options data_root=...``
    would reach none of the data sets and evaluators that were made from it.

    Args:
        cfg: A config with a ``data_root`` at its top, changed in place.
        folder: The folder that holds the data.

    Raises:
        InputError: The config has no ``data_root``, or there is no such folder.
    """
    old = cfg.get('data_root')
    if not old:
        raise InputError(f'{cfg.filename} has no data_root at its top; set the data_root of its '
                         'data sets with --cfg-options')
    if not Path(folder).expanduser().is_dir():
        raise InputError(f'no such folder: {folder}')
    old, new = old.rstrip('/'), Path(folder).expanduser()

    def replaced(value: object) -> object:
        if isinstance(value, str) and f'{value}/'.startswith(f'{old}/'):
            return f'{new}/{value[len(old):].lstrip("/")}'
        if isinstance(value, dict):
            return {key: replaced(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(replaced(item) for item in value)
        return value

    for key in list(cfg):
        cfg[key] = replaced(cfg[key])


def fit_to_machine(cfg: Config) -> None:
    """Drops what the loaders of a config cannot have here: pinned memory, persistent workers."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if not loader:
            continue
        if not torch.cuda.is_available():
            loader.pin_memory = False
        if not loader.get('num_workers'):
            loader.persistent_workers = False


def drop_hooks_switched_off(cfg: Config) -> None:
    """Drops what ``default_hooks.NAME=None`` switches off, in any runner.

    Of the hooks that it adds by itself MMEngine's runner has to be told so, hence they stay None;
    of any other name a None is a bare ``AssertionError`` to it.

    Args:
        cfg: The config of a run, changed in place.
    """
    hooks = cfg.get('default_hooks') or {}
    for name in [name for name, hook in hooks.items() if hook is None]:
        if name not in _HOOKS_OF_EVERY_RUN:
            del hooks[name]


def check_checkpoint(path: str) -> None:
    """Fails early and in one line where a checkpoint is missing or is none.

    Args:
        path: A file; addresses are left to whoever loads them.

    Raises:
        InputError: No such file, not a checkpoint, or a damaged one.
    """
    if '://' in path:
        return
    check_checkpoint_file(path, only=PICKLE)
