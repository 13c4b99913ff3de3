"""Every block of Python in the documents runs, or says what it needs and names what exists."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from ..conftest import ROOT
from .markdown import Block, blocks_in
from .table import PLACEHOLDERS

BLOCKS = blocks_in('python')


def place(block: Block) -> str:
    return f'{block.file}:{block.line}'


@pytest.mark.parametrize('block', BLOCKS, ids=place)
def test_python_block(block: Block, workspace: Path, monkeypatch) -> None:
    monkeypatch.chdir(workspace)
    # mmpretrain reads its model index by it, in a tenth of the time
    monkeypatch.setattr(yaml, 'SafeLoader', yaml.CSafeLoader)
    check(block, workspace)


def check(block: Block, workspace: Path) -> None:
    """Checks a block, and runs it unless it says what it needs.

    Raises:
        AssertionError: What is wrong with it.
    """
    try:
        tree = ast.parse(block.text)
    except SyntaxError as error:
        raise AssertionError(f'{place(block)}: {error}') from error
    check_imports(block, tree)
    if block.needs:
        return
    text = block.text
    for placeholder, own in PLACEHOLDERS.items():
        text = re.sub(f'([\'"]){re.escape(placeholder)}([\'"])', rf'\g<1>{own}\g<2>', text)
    try:
        if re.search(r'^_base_ =', text, re.MULTILINE):
            load_as_config(block, text, workspace)
        else:
            exec(compile(text, place(block), 'exec'), {'__name__': 'document'})
    except Exception as error:
        raise AssertionError(f'{place(block)}: {type(error).__name__}: {error}. What does not '
                             'stand alone needs <!-- needs: ... --> before it') from error


def check_imports(block: Block, tree: ast.Module) -> None:
    """Checks that what a block imports exists."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                # found, not imported, which takes seconds of some
                assert found(alias.name), f'{place(block)}: no module {alias.name}'
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert exists(node.module, alias.name), (
                    f'{place(block)}: no {alias.name} in {node.module}')


def found(module: str) -> bool:
    """Whether there is such a module."""
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # no such parent
        return False


def exists(module: str, name: str) -> bool:
    """Whether there is such a name in a module."""
    return found(module) and (hasattr(importlib.import_module(module), name)
                              or found(f'{module}.{name}'))


def load_as_config(block: Block, text: str, workspace: Path) -> None:
    """Reads a block as a config, with the bases beside its document, else seen from the top."""
    folder = (ROOT / block.file).parent if block.file.startswith('configs/') else ROOT
    path = workspace / 'config_of_document.py'
    path.write_text(re.sub(r"(_base_ = \[?')(?!/)", rf'\g<1>{folder}/', text))
    Config.fromfile(path)
