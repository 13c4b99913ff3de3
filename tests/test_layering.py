"""The rules of the house, read from the imports: where each file may look, and how many there are.

A file imports what stands below it, never beside or above; lazy imports count, too.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from .conftest import ROOT

PACKAGE = 'conmim_mm'
FLOORS = [
    {'errors', 'version'}, {'checkpoint'}, {'utils'}, {'datasets', 'distributed'},
    {'models', 'evaluation'}, {'visualization', 'formats'}, {'report'}, {'engine'},
    {'registration'}, {'apis'}, {'commands'}]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
UNAWARE = {  # rule 2: rooms that know nothing of others
    'models': {'engine', 'apis', 'report', 'visualization'},
    'datasets': {'engine', 'apis', 'report', 'visualization'},
    'evaluation': {'engine', 'apis', 'report', 'visualization'},
    'report': {'engine'}, 'visualization': {'engine'}}
ENTRY = ('__init__', '__main__')  # the package's own files
SHIPPED_FILES = f'{PACKAGE}/utils/shipped_files.py'
PRIVATE_NAMES = f'{PACKAGE}/engine/private_names.py'
SHIPPED = '.mim'  # where a wheel has configs and tools
MAX_FILES = 15
CROWDED = ('conmim_mm', 'configs', 'tools', 'tests')


class Import(NamedTuple):
    """One name that a file imports.

    Attributes:
        path: The file, from the root.
        line: In it.
        module: The module, in full.
        name: What is taken from it; empty for the module itself.
    """

    path: str
    line: int
    module: str
    name: str = ''

    @property
    def whole(self) -> str:
        return f'{self.module}.{self.name}'.rstrip('.')

    def breaks(self, rule: int, why: str) -> str:
        return f'{self.path}:{self.line}: rule {rule}: imports {self.whole}: {why}'


def imports_of(root: Path, path: Path) -> Iterator[Import]:
    """All imports of a file, those inside functions too."""
    place = path.relative_to(root)
    packages = place.parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(str(place), node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            above = packages[:len(packages) - node.level + 1] if node.level else ()
            module = '.'.join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(str(place), node.lineno, module, alias.name)


def file_of(root: Path, module: str) -> str | None:
    """The file of a module of ours, from the root; None for anything else."""
    stem = root.joinpath(*module.split('.'))
    for path in (stem / '__init__.py', stem.with_suffix('.py')):
        if path.is_file():
            return str(path.relative_to(root))
    return None


def room_of(path: str) -> str:
    """The part of the package that a file belongs to: a folder, or a file at its top."""
    return Path(path).parts[1].removesuffix('.py')


def hook_of(path: str) -> str | None:
    """The hook that a file belongs to, by its file or its folder; None for what hooks share."""
    parts = Path(path).parts
    if parts[:3] != (PACKAGE, 'engine', 'hooks') or parts[-1] == '__init__.py':
        return None
    return parts[3] if len(parts) > 4 or parts[3].endswith('_hook.py') else None


def broken_rules(root: Path) -> list[str]:
    """Each import below a root that breaks a rule, with its file, line and rule."""
    files = sorted([*root.glob(f'{PACKAGE}/**/*.py'), *root.glob('tools/**/*.py')])
    found = [one for path in files for one in imports_of(root, path)]
    graph: dict[str, dict[str, Import]] = {}
    broken = []
    for one in found:
        target = file_of(root, one.whole) or file_of(root, one.module)
        if one.path.startswith(f'{PACKAGE}/'):
            broken += outside(one)
            if target:
                broken += inside(one, target)
                graph.setdefault(one.path, {}).setdefault(target, one)
        elif target and room_of(target) == 'commands':
            broken.append(one.breaks(3, 'nothing imports commands'))
    return broken + circles(graph) + lookers(root)


def outside(one: Import) -> Iterator[str]:
    """What the package may not import of others."""
    library, *names = one.whole.split('.')
    if library in ('mmengine', 'torch') and one.path != PRIVATE_NAMES and (
            any(name.startswith('_') for name in names)):
        yield one.breaks(4, f'private names stand in {PRIVATE_NAMES}')
    if library == 'tools':
        yield one.breaks(3, 'the package never imports tools')
    if one.path in (f'{PACKAGE}/{name}.py' for name in ('__init__', *FLOORS[0])) and (
            library not in (PACKAGE, 'importlib')):
        yield one.breaks(5, f'importing {PACKAGE} imports nothing else')


def inside(one: Import, target: str) -> Iterator[str]:
    """Which rules an import of one file of the package by another breaks."""
    here, there = room_of(one.path), room_of(target)
    if here == '__init__':
        if there not in FLOORS[0]:
            yield one.breaks(5, f'importing {PACKAGE} imports errors and version only')
        return
    if there == 'commands' and here not in ('commands', '__main__'):
        yield one.breaks(3, 'nothing imports commands')
    elif there in UNAWARE.get(here, ()):
        yield one.breaks(2, f'{here} knows nothing of {there}')
    elif here != '__main__' and there not in ENTRY and here != there and (
            FLOOR[here] <= FLOOR[there]):
        yield one.breaks(1, f'{there} does not lie below {here}')
    hooks = hook_of(one.path), hook_of(target)
    if None not in hooks and hooks[0] != hooks[1]:
        yield one.breaks(4, 'a hook never imports another hook')


def circles(graph: dict[str, dict[str, Import]]) -> list[str]:
    """One import of each circle of files."""
    broken, done = [], set()

    def visit(path: str, way: list[str]) -> None:
        for target, one in graph.get(path, {}).items():
            if target in way:
                circle = ' -> '.join([*way[way.index(target):], target])
                broken.append(one.breaks(1, f'a circle of files: {circle}'))
            elif target not in done:
                visit(target, [*way, target])
        done.add(path)

    for path in sorted(graph):
        if path not in done:
            visit(path, [path])
    return broken


def lookers(root: Path) -> list[str]:
    """Files of the package that look for what is shipped with the package by themselves."""
    return [
        f'{place}:{node.lineno}: rule 3: looks for {SHIPPED}: only {SHIPPED_FILES} does'
        for path in root.glob(f'{PACKAGE}/**/*.py')
        if (place := str(path.relative_to(root))) != SHIPPED_FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value == SHIPPED]


def crowded_folders(root: Path) -> list[str]:
    """Folders with too many files."""
    files = [path for name in CROWDED for path in root.glob(f'{name}/**/*')
             if path.is_file() and not any(part in ('__pycache__', '.mim') for part in path.parts)]
    folders = sorted({path.parent for path in files})
    counts = {folder: sum(path.parent == folder for path in files) for folder in folders}
    return [f'{folder.relative_to(root)}: rule 6: {count} files, more than {MAX_FILES}'
            for folder, count in counts.items() if count > MAX_FILES]


def test_imports_run_down() -> None:
    assert not (broken := broken_rules(ROOT)), '\n'.join(['', *broken])


def test_no_folder_is_crowded() -> None:
    assert not (broken := crowded_folders(ROOT)), '\n'.join(['', *broken])


def test_every_room_has_a_floor() -> None:
    rooms = {path.name.removesuffix('.py') for path in (ROOT / PACKAGE).iterdir()
             if path.suffix == '.py' or (path / '__init__.py').is_file()}
    assert rooms - set(ENTRY) == set(FLOOR)


@pytest.fixture
def house(tmp_path) -> Path:
    """Rooms with nothing in them but one hook."""
    for room in FLOOR:
        (tmp_path / PACKAGE / room).mkdir(parents=True)
        (tmp_path / PACKAGE / room / '__init__.py').touch()
    write(tmp_path, 'conmim_mm/engine/hooks/b_hook.py', 'x = 1')
    assert not broken_rules(tmp_path)
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize('name, text, rule', [
    ('conmim_mm/utils/a.py', 'from ..engine import x', 1),
    ('conmim_mm/utils/a.py', 'def late():\n    from ..engine.hooks import b_hook', 1),
    ('conmim_mm/utils/a.py', 'import conmim_mm.engine.hooks.b_hook', 1),
    ('conmim_mm/datasets/a.py', 'from ..distributed import x', 1),
    ('conmim_mm/registration.py', 'from . import apis', 1),
    ('conmim_mm/engine/a.py', 'from . import a', 1),
    ('conmim_mm/models/heads/a.py', 'from ...engine import x', 2),
    ('conmim_mm/report/a.py', 'from ..engine.hooks.b_hook import x', 2),
    ('conmim_mm/apis/a.py', 'from ..commands import x', 3),
    ('tools/a.py', '\n\nfrom conmim_mm.commands import x', 3),
    ('conmim_mm/apis/a.py', 'from tools.train import main', 3),
    ('conmim_mm/models/a.py', "folder = '.mim'", 3),
    ('conmim_mm/engine/hooks/a_hook.py', 'from .b_hook import x', 4),
    ('conmim_mm/engine/hooks/a/a_hook.py', 'from ..b_hook import x', 4),
    ('conmim_mm/engine/a.py', 'import torch._dynamo', 4),
    ('conmim_mm/models/a.py', 'from mmengine.optim.scheduler import _ParamScheduler', 4),
    ('conmim_mm/errors.py', 'import torch', 5),
    ('conmim_mm/__init__.py', 'from . import engine', 5),
])
def test_a_forbidden_import_is_found(house, name: str, text: str, rule: int) -> None:
    write(house, name, text)
    line, = broken_rules(house)
    assert line.startswith(f'{name}:{len(text.splitlines())}: rule {rule}: ')


@pytest.mark.parametrize('files', [
    {'conmim_mm/engine/a.py': 'from . import b', 'conmim_mm/engine/b.py': 'from .a import x'},
    {'conmim_mm/engine/__init__.py': 'from .a import x',
     'conmim_mm/engine/a.py': 'def late():\n    from ..engine import y'},
], ids=['two files', 'a file and its package'])
def test_a_circle_is_found(house, files: dict[str, str]) -> None:
    for name, text in files.items():
        write(house, name, text)
    line, = broken_rules(house)
    assert 'rule 1' in line and line.count(' -> ') == 2


def test_what_is_allowed_stays_so(house) -> None:
    write(house, 'conmim_mm/engine/hooks/a/a_hook.py',
          'from .part import x\nfrom ..shared import y')
    write(house, 'conmim_mm/engine/hooks/a/part.py', 'from ....models import x\nimport torch')
    write(house, 'conmim_mm/engine/hooks/shared.py', 'from ...utils import files')
    write(house, 'conmim_mm/__main__.py', 'from .commands import main')
    write(house, 'conmim_mm/commands/__init__.py', 'from .. import errors, register_all_modules')
    write(house, 'tools/a.py', 'from conmim_mm.apis import x')
    write(house, PRIVATE_NAMES, 'import torch._dynamo')
    assert not broken_rules(house)


def test_a_sixteenth_file_is_found(tmp_path) -> None:
    for number in range(15):
        write(tmp_path, f'tools/a/{number}.py', '')
    assert not crowded_folders(tmp_path)
    write(tmp_path, 'tools/a/README.md', '')
    assert crowded_folders(tmp_path) == ['tools/a: rule 6: 16 files, more than 15']
