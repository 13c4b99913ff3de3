"""docs/config_keys.md lists every key of every component of ours, with its default."""

import importlib
import inspect
import pkgutil
import re

import mmengine.registry
import mmpretrain.registry
from mmengine.registry import Registry

import conmim_mm

from ..conftest import ROOT

PAGE = 'docs/config_keys.md'
# what a parameter without a default may say in its place
NO_DEFAULT = {'required', 'filled in'}


def registered_classes() -> dict[str, type]:
    """The components of this project, by the name that a config gives them."""
    for module in pkgutil.walk_packages(conmim_mm.__path__, 'conmim_mm.'):
        if not module.name.endswith('__main__'):  # also those that are imported when they are used
            importlib.import_module(module.name)
    registries = [value for module in (mmpretrain.registry, mmengine.registry)
                  for value in vars(module).values() if isinstance(value, Registry)]
    return {
        name: cls
        for registry in registries for name, cls in registry.module_dict.items()
        if cls.__module__.startswith('conmim_mm.')
    }


def own_keys(cls: type) -> dict[str, str]:
    """The keys that a class itself takes, and their defaults as the page writes them."""
    if '__init__' not in vars(cls):
        return {}
    parameters = list(inspect.signature(cls).parameters.values())
    return {
        one.name: 'required' if one.default is one.empty else f'`{one.default!r}`'
        for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    }


def listed_keys(page: str) -> dict[str, dict[str, str]]:
    """Components of the page, and in each its keys and defaults."""
    sections = re.split(r'^### `(\w+)`$', page, flags=re.MULTILINE)[1:]
    listed = {}
    for name, text in zip(sections[::2], sections[1::2], strict=True):
        # tables of other things, such as paramwise_cfg, have another heading
        tables = re.findall(r'^\| key \|.*\n\|[-|]+\|\n((?:\|.*\n)*)', text, re.MULTILINE)
        rows = [re.split(r'(?<!\\)\|', line) for line in ''.join(tables).splitlines()]
        listed[name] = {row[1].strip(' `'): row[3].strip() for row in rows}
    return listed


def differences(cls: type, listed: dict[str, str]) -> list[str]:
    """What a section has too little, too much or wrong, in words."""
    own = own_keys(cls)
    found = [f'{cls.__name__}.{key} is not in {PAGE}; default: {own[key]}'
             for key in own if key not in listed]
    found += [f'{PAGE} lists {cls.__name__}.{key}, which is gone'
              for key in listed if key not in own]
    found += [f'{cls.__name__}.{key} has the default {own[key]}, but {PAGE} says {listed[key]}'
              for key in own if key in listed and listed[key] != own[key]
              and not (own[key] == 'required' and listed[key] in NO_DEFAULT)]
    return found


def test_every_key_is_listed_with_its_default() -> None:
    classes, listed = registered_classes(), listed_keys((ROOT / PAGE).read_text())
    assert len(classes) > 30
    problems = [f'{name} has no section in {PAGE}' for name in classes if name not in listed]
    problems += [f'{PAGE} has a section {name}, which is no component' for name in listed
                 if name not in classes]
    for name in classes.keys() & listed.keys():
        problems += differences(classes[name], listed[name])
    assert not problems, '\n'.join(sorted(problems))


def test_differences_are_found() -> None:

    class Thing:

        def __init__(self, size: int, names: tuple = ('a', 'b'), share: float = 0.1,
                     **rest: int) -> None:
            pass

    page = '\n'.join([
        '### `Thing`', '', '| key | type | default | meaning |', '|---|---|---|---|',
        '| `size` | int | filled in | a \\| b |', "| `names` | several str | `('a', 'b')` | c |",
        '| `share` | float | `0.1` | d |', '', '| in it | type |', '|---|---|', '| `x` | y |', ''])
    listed = listed_keys(page)['Thing']
    assert list(listed) == ['size', 'names', 'share']
    assert differences(Thing, listed) == []
    del listed['names']
    assert differences(Thing, listed | dict(size='`3`', share='`0.2`', old='`1`')) == [
        f"Thing.names is not in {PAGE}; default: `('a', 'b')`",
        f'{PAGE} lists Thing.old, which is gone',
        f'Thing.size has the default required, but {PAGE} says `3`',
        f'Thing.share has the default `0.1`, but {PAGE} says `0.2`']
