"""What can be said of a command without running it: its files, its options, its config."""

import argparse
import copy
import functools
import importlib
import inspect
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import mmengine.registry
from mmengine.config import Config
from mmengine.registry import Registry

from conmim_mm.utils.run_config import replace_data_root

from ..conftest import ROOT, load_tool
from .shell import Command

MAKEFILE = (ROOT / 'Makefile').read_text()
LAUNCHERS = {  # the tool behind each, and which of the words it takes
    'tools/dist_train.sh': ('tools/train.py', 2, lambda w: [w[0], *w[2:]]),
    'tools/dist_test.sh': ('tools/test.py', 3, lambda w: [*w[:2], *w[3:]]),
    'tools/slurm_train.sh': ('tools/train.py', 4, lambda w: [w[2], '--work-dir', w[3], *w[4:]]),
}
ANY_CONFIG = {'CONFIG': 'configs/conmim/vit-b_8xb256.py'}
OTHERS_VARIABLES = re.compile(r'^(OMP_|MKL_|CUDA_|NCCL_|GLOO_|TORCH_|OPENCV_|PYTHONPATH$)')


class _Parsed(Exception):
    """Carries what a tool's parser made of its words; nothing of the tool runs after that."""


def tool_and_words(command: Command) -> tuple[str, list[str]] | None:
    """The tool that a command starts, such as ``tools/train.py`` or ``conmim knn``, and its words.

    Returns:
        None for a command that starts none of ours.
    """
    words = list(command.words)
    if words[0] in ('python', 'python3') and words[1:2] and words[1].startswith('tools/'):
        return words[1], words[2:]
    if words[:3] == ['python', '-m', 'conmim_mm']:
        words = ['conmim', *words[3:]]
    if words[0] == 'conmim':
        assert words[1:], f'{command}: conmim wants a sub-command'
        return f'conmim {words[1]}', words[2:]
    if words[0] in LAUNCHERS:
        tool, least, chosen = LAUNCHERS[words[0]]
        assert len(words) > least, f'{command}: {words[0]} takes at least {least} words'
        return tool, chosen(words[1:])
    return None


def check_tool(command: Command, tool: str, words: Sequence[str], data: Path) -> None:
    """Checks the options of a command by the tool's own parser, and its config.

    Args:
        command: The command.
        tool: As of :func:`tool_and_words`.
        words: The same.
        data: Any folder, for what ``--data-root`` names.

    Raises:
        AssertionError: What is wrong, with the command and its place.
    """
    args = parse(command, tool, words)
    configs = [word for word in words if word.startswith('configs/') or word in ANY_CONFIG]
    for path in configs:
        check_config(command, path, getattr(args, 'cfg_options', None),
                     data if getattr(args, 'data_root', None) else None)


def parse(command: Command, tool: str, words: Sequence[str]) -> argparse.Namespace:
    """What the tool's own parser makes of the words."""
    def stop(parser: argparse.ArgumentParser, args: Sequence[str] | None = None,
             namespace: argparse.Namespace | None = None) -> None:
        raise _Parsed(parse_args(parser, args, namespace))

    def fail(parser: argparse.ArgumentParser, message: str) -> None:
        raise AssertionError(f'{command}: {message}')

    parse_args = argparse.ArgumentParser.parse_args
    main = main_of(command, tool)
    with (mock.patch.object(argparse.ArgumentParser, 'parse_args', stop),
          mock.patch.object(argparse.ArgumentParser, 'error', fail),
          mock.patch.dict(os.environ),  # which --trust-checkpoint changes
          mock.patch.object(sys, 'argv', argv_of(tool, words))):
        try:
            main()
        except _Parsed as parsed:
            return parsed.args[0]
        except SystemExit as error:
            raise AssertionError(f'{command}: its parser ends with {error.code}') from error
    raise AssertionError(f'{command}: {tool} does not parse its arguments first')


def argv_of(tool: str, words: Sequence[str]) -> list[str]:
    """The process' words as the tool sees them."""
    return [*tool.split(' '), *words]


def main_of(command: Command, tool: str):
    """The function that a command starts."""
    if tool.startswith('conmim '):
        return importlib.import_module('conmim_mm.commands').main
    assert (ROOT / tool).is_file(), f'{command}: there is no {tool}'
    return loaded(tool).main


@functools.cache
def loaded(tool: str):
    """A script as a module, once."""
    beside = str((ROOT / tool).parent)  # where Python itself looks for what a script imports
    with mock.patch.object(sys, 'path', [beside, *sys.path]):
        return load_tool(tool.removeprefix('tools/'))


@functools.cache
def read(path: str) -> Config:
    """A config of the checkout, to be copied before it is changed."""
    return Config.fromfile(ROOT / path)


def check_config(command: Command, path: str, options: dict | None, data: Path | None) -> None:
    """Checks that a config can be read and that the options change what is in it."""
    path = ANY_CONFIG.get(path, path)
    assert (ROOT / path).is_file(), f'{command}: there is no {path}'
    cfg = copy.deepcopy(read(path))
    for key in options or {}:
        problem = unknown_part(cfg, key, options[key])
        assert problem is None, f'{command}: {path} has no {key}: {problem}'
    cfg.merge_from_dict(options or {})
    if data:
        replace_data_root(cfg, str(data))


def unknown_part(cfg: Config, key: str, value: object) -> str | None:
    """Why a config takes no such option: a part on the way is not there, nor a known argument."""
    where, scope = cfg, cfg.get('default_scope', 'mmpretrain')
    *parents, last = key.split('.')
    if last == 'type' and not arguments_of(value, scope):
        return f'there is no component {value}'
    for depth, part in enumerate(parents, 1):
        if last == 'type' and depth == len(parents) and isinstance(where, dict):
            return None  # a component of its own, such as another hook
        try:
            where = where[int(part)] if isinstance(where, list | tuple) else where[part]
        except (KeyError, IndexError, ValueError, TypeError):
            return f'nothing at {part}'
        if where is None:
            return f'{part} is None'
    if last in where or isinstance(where, list | tuple):
        return None
    if 'type' not in where:
        return f'{last} is not there'
    accepted = arguments_of(where['type'], scope)
    return None if last in accepted else f'{where["type"]} takes no {last}'


def arguments_of(type_name: str, scope: str) -> set[str]:
    """The names that the constructors of a component and of its parents take."""
    name = type_name if '.' in type_name else f'{scope}.{type_name}'
    importlib.import_module(name.partition('.')[0])
    for registry in registries():
        found = registry.get(name)
        if found is not None:
            return {parameter for cls in inspect.getmro(found) if '__init__' in vars(cls)
                    for parameter in inspect.signature(cls.__init__).parameters}
    return set()


def registries() -> list[Registry]:
    """MMEngine's, which find what is in those of the toolboxes."""
    return [value for value in vars(mmengine.registry).values() if isinstance(value, Registry)]


def check_environment(command: Command) -> None:
    """Checks that something reads the variables before a command."""
    for name in command.environment:
        used = OTHERS_VARIABLES.match(name) or any(
            re.search(rf'\b{name}\b', text) for text in sources())
        assert used, f'{command}: nothing reads the variable {name}'


@functools.cache
def sources() -> tuple[str, ...]:
    """What may read a variable."""
    files = [*(ROOT / 'tools').rglob('*.sh'), *(ROOT / 'conmim_mm').rglob('*.py'),
             ROOT / 'tests' / 'conftest.py', ROOT / 'Makefile']
    return tuple(path.read_text() for path in files)


def check_make(command: Command) -> None:
    """Checks that the targets exist and that something uses the variables."""
    targets = set(re.findall(r'^([\w-]+):', MAKEFILE, re.MULTILINE))
    for word in command.words[1:]:
        name, is_variable, _ = word.partition('=')
        if is_variable:
            assert re.search(rf'\$\({name}\)|\$\$\{{{name}\b|\b{name} \?=|export.*\b{name}\b',
                             MAKEFILE), f'{command}: the Makefile does not use {name}'
        else:
            assert word in targets, f'{command}: the Makefile has no target {word}'


def check_pip(command: Command) -> None:
    """Checks that the files and extras of ``pip install`` exist."""
    words = list(command.words[command.words.index('install') + 1:])
    for option, value in zip(words, words[1:], strict=False):
        if option in ('-r', '-c'):
            assert (ROOT / value).is_file(), f'{command}: there is no {value}'
    for word in words:
        extras = re.fullmatch(r'\.\[(.+)\]', word)
        for extra in extras[1].split(',') if extras else ():
            assert re.search(rf"'{extra.strip()}':", (ROOT / 'setup.py').read_text()), (
                f'{command}: setup.py has no extra {extra}')


def check_pytest(command: Command) -> None:
    """Checks that the tests exist."""
    for word in command.words:
        if word.startswith('tests/'):
            check_node(word, str(command))


def check_node(node: str, where: str) -> None:
    """Checks that a test exists.

    Args:
        node: ``file`` or ``file::function``.
        where: What names it.
    """
    file, _, function = node.partition('::')
    assert (ROOT / file).exists(), f'{where}: there is no {file}'
    name = function.partition('[')[0]
    assert not name or f'def {name}(' in (ROOT / file).read_text(), f'{where}: no test {node}'


def check_source(command: Command) -> None:
    """Checks that it is the environment that ``make env`` makes."""
    assert command.words[1:] == ('.venv/bin/activate', ), f'{command}: what is sourced here?'


def check_export(command: Command) -> None:
    """Checks the variables as those before a command."""
    pairs = dict(word.partition('=')[::2] for word in command.words[1:])
    check_environment(Command(command.place, ('export', ), pairs))


def check_nothing(command: Command) -> None:
    """Words of the shell and of others' tools that anybody knows."""


# by their first words; the longest that fits counts
SHELL = {
    'make': check_make,
    'pip install': check_pip,
    'python -m pip install': check_pip,
    'python -m pytest': check_pytest,
    'source': check_source,
    'export': check_export,
    'git clone': check_nothing,
    'cd': check_nothing,
    'mkdir': check_nothing,
    'ip': check_nothing,
    'python -m venv': check_nothing,
    'python -m timeit': check_nothing,
}


def shell_check(command: Command):
    """The check for a command of the shell; None for one that is not known."""
    line = ' '.join(command.words)
    fitting = [start for start in SHELL if f'{line} '.startswith(f'{start} ')]
    return SHELL[max(fitting, key=len)] if fitting else None
