"""The package can be built, carries its configs, and says why it needs what it needs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..conftest import ROOT

PINS = ('constraints', 'transformers5')
REQUIREMENTS = sorted(
    path.stem for path in (ROOT / 'requirements').glob('*.txt') if path.stem not in PINS
)
SOURCES = ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE', 'README.md')
TREES = ('conmim_mm', 'configs', 'tools', 'requirements')
CARD = 'docs/model_card_template.md'  # tools/model_converters/publish_model.py fills it in


def requirement_lines(name: str) -> list[tuple[Requirement, str]]:
    """Return the requirements of a file, each with its comment."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    parts = (line.partition('#') for line in lines)
    return [(Requirement(req.strip()), why.strip()) for req, _, why in parts if req.strip()]


def version() -> str:
    """Return the version as the file says it."""
    text = (ROOT / 'conmim_mm' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"__version__ = '([^']+)'", text).group(1)


def files_below(folder: Path) -> set[str]:
    """Return the files of a source folder that belong into a package."""
    return {
        path.relative_to(folder.parent).as_posix()
        for path in folder.rglob('*')
        if path.is_file() and path.suffix != '.pyc'
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the checkout, so that a build leaves nothing in the real one."""
    copy = tmp_path / 'checkout'
    copy.mkdir()
    ignore = shutil.ignore_patterns('__pycache__', '.mim')
    (copy / CARD).parent.mkdir()
    for name in SOURCES + TREES + ('model-index.yml', 'dataset-index.yml', CARD):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=ignore)
        elif source.exists():
            shutil.copy2(source, copy / name)
    return copy


def build(checkout: Path, hook: str, out: Path) -> Path:
    """Call a hook of the build backend, as pip does, and return the wheel."""
    out.mkdir()
    # -c puts the working directory on the path; pip calls the backend without it.
    code = (
        'import sys; sys.path.remove(""); from setuptools import build_meta; '
        f'build_meta.{hook}({str(out)!r})'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=checkout, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    (built,) = out.iterdir()
    return built


def test_wheel_carries_package_and_mim_files(checkout: Path, tmp_path: Path):
    stale = checkout / 'build' / 'lib' / 'conmim_mm'
    (stale / '.mim' / 'configs').mkdir(parents=True)
    (stale / 'stale.py').touch()
    (stale / '.mim' / 'configs' / 'stale.py').touch()
    (checkout / 'conmim_mm' / '.mim').mkdir()
    (checkout / 'conmim_mm' / '.mim' / 'stale.py').touch()

    wheel = zipfile.ZipFile(build(checkout, 'build_wheel', tmp_path / 'wheel'))
    names = set(wheel.namelist())
    info = f'conmim_mm-{version()}.dist-info'

    assert not [name for name in names if 'stale' in name]
    for tree in ('configs', 'tools'):
        packed = {name for name in names if name.startswith(f'conmim_mm/.mim/{tree}/')}
        assert packed == {f'conmim_mm/.mim/{name}' for name in files_below(checkout / tree)}
    assert {f'conmim_mm/.mim/{name}' for name in ('model-index.yml', CARD)} <= names
    modules = {name for name in files_below(checkout / 'conmim_mm') if name.endswith('.py')}
    modules = {name for name in modules if '/.mim/' not in name}
    assert modules <= names
    assert {f'conmim_mm/report/page.{kind}' for kind in ('html', 'css', 'js')} <= names
    assert {name.split('/')[0] for name in names} == {'conmim_mm', info}

    described = wheel.read(f'{info}/METADATA').decode()
    assert f'\nVersion: {version()}\n' in described
    assert 'Requires-Python: >=3.11' in described
    assert '\nRequires-Dist: onedl-mmengine' in described
    commands = wheel.read(f'{info}/entry_points.txt').decode()
    assert commands == '[console_scripts]\nconmim = conmim_mm.commands:main\n'


def test_sdist_builds_the_same_wheel(checkout: Path, tmp_path: Path):
    sdist = build(checkout, 'build_sdist', tmp_path / 'sdist')
    shutil.unpack_archive(sdist, tmp_path / 'unpacked', filter='data')
    (unpacked,) = (tmp_path / 'unpacked').iterdir()

    wheel = zipfile.ZipFile(build(unpacked, 'build_wheel', tmp_path / 'wheel'))
    packed = {name.removeprefix('conmim_mm/.mim/') for name in wheel.namelist()}

    assert files_below(checkout / 'configs') | files_below(checkout / 'tools') | {CARD} <= packed


def test_editable_installation_links_the_configs(checkout: Path, tmp_path: Path):
    mim = checkout / 'conmim_mm' / '.mim'
    (mim / 'configs').mkdir(parents=True)  # what a copy of an earlier time may have left
    (mim / 'configs' / 'stale.py').touch()

    build(checkout, 'build_editable', tmp_path / 'wheel')

    for tree in ('configs', 'tools', 'model-index.yml', CARD):
        assert (mim / tree).resolve() == (checkout / tree).resolve()
        assert not (mim / tree).readlink().is_absolute()  # the links survive a move of the checkout


def test_installed_package_is_this_checkout():
    # a build leaves an egg-info in the checkout, which says nothing of an installation
    installed = next((one for one in metadata.distributions(name='conmim_mm')
                      if ROOT.as_uri() in (one.read_text('direct_url.json') or '')), None)
    if installed is None:
        pytest.skip('this checkout is not what is installed here')

    assert installed.version == version()
    assert (ROOT / 'conmim_mm' / '.mim' / 'configs').resolve() == ROOT / 'configs'


@pytest.mark.parametrize('name', REQUIREMENTS)
def test_requirements_have_reason_and_pin(name: str):
    lines = (ROOT / 'requirements' / 'constraints.txt').read_text(encoding='utf-8').splitlines()
    pins = dict(line.split('==') for line in lines if not line.startswith('#'))
    pins = {canonicalize_name(pinned): number for pinned, number in pins.items()}

    for requirement, why in requirement_lines(name):
        assert len(why) > 15, f'{requirement} does not say why it is there'
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize('name, version', [
    ('torch', '2.5.1'), ('torch', '2.9.1'), ('torch', '2.10.0'), ('torch', '2.15.0'),
    ('pillow', '9.5.0'), ('pillow', '11.2.1'), ('pillow', '12.3.0'), ('jinja2', '3.1.5'),
    ('opencv-python', '4.11.0.86'), ('opencv-python', '5.0.0.93'), ('tqdm', '4.66.2'),
    ('scikit-learn', '1.4.2')])
def test_known_holes_and_what_nobody_tried_are_out_of_range(name: str, version: str):
    ranges = {requirement.name: requirement.specifier
              for requirement, _ in requirement_lines('runtime')}
    assert version not in ranges[name]


def test_requirements_name_no_place():
    for path in (ROOT / 'requirements').glob('*.txt'):
        for line in path.read_text(encoding='utf-8').splitlines():
            assert '://' not in line and not line.startswith('-'), f'{path.name}: {line}'
