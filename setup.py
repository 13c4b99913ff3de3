"""Build script of conmim_mm. It must not import torch: pip runs it in an empty environment."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PACKAGE = 'conmim_mm'
# What OpenMMLab's tools (mim, mmengine's hub) look for in `<package>/.mim`.
MIM_FILES = ('tools', 'configs', 'model-index.yml', 'dataset-index.yml',
             'docs/model_card_template.md')


def get_version() -> str:
    """Read the version without importing the package."""
    text = (ROOT / PACKAGE / 'version.py').read_text(encoding='utf-8')
    found = re.search(r"^__version__\s*=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f'no __version__ in {PACKAGE}/version.py')
    return found.group(1)


def parse_requirements(name: str) -> list[str]:
    """Return the requirements of ``requirements/<name>.txt`` without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    stripped = (re.sub(r'(^|\s)#.*', '', line).strip() for line in lines)
    return [line for line in stripped if line]


def link_mim_files(mim: Path) -> None:
    """Fill ``mim`` with relative links to the checkout: an edited config counts at once."""
    clear_mim_files(mim)
    for name in MIM_FILES:
        source = ROOT / name
        if not source.exists():
            continue
        target = mim / name
        target.parent.mkdir(exist_ok=True)
        try:
            target.symlink_to(os.path.relpath(source, target.parent), source.is_dir())
        except OSError:  # a system without links, such as Windows without developer mode
            copy_mim_file(source, target)


def copy_mim_files(mim: Path) -> None:
    """Fill ``mim`` with copies, for a wheel."""
    clear_mim_files(mim)
    for name in MIM_FILES:
        if (ROOT / name).exists():
            copy_mim_file(ROOT / name, mim / name)


def clear_mim_files(mim: Path) -> None:
    """Make ``mim`` an empty folder."""
    if mim.is_symlink():
        mim.unlink()
    elif mim.exists():
        shutil.rmtree(mim)  # follows no link
    mim.mkdir(parents=True)


def copy_mim_file(source: Path, target: Path) -> None:
    """Copy one file or folder."""
    target.parent.mkdir(exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__', '*.py[cod]'))
    else:
        shutil.copy2(source, target)


class BuildPy(build_py):
    """Add the ``.mim`` folder: links for an editable installation, copies for a wheel."""

    def run(self) -> None:
        if self.editable_mode:
            super().run()
            link_mim_files(ROOT / PACKAGE / '.mim')
            return
        # The build folder outlives a build: what was removed since must not slip into the wheel.
        built = Path(self.build_lib) / PACKAGE
        shutil.rmtree(built, ignore_errors=True)
        super().run()
        copy_mim_files(built / '.mim')


def get_long_description() -> str:
    """Return the README, if the tree has one."""
    readme = ROOT / 'README.md'
    return readme.read_text(encoding='utf-8') if readme.exists() else ''


def main() -> None:
    """Describe the package."""
    tests, optional, formats = map(parse_requirements, ('tests', 'optional', 'formats'))
    setup(
        name=PACKAGE,
        version=get_version(),
        description='ConMIM self-supervised pre-training for OpenMMLab',
        long_description=get_long_description(),
        long_description_content_type='text/markdown',
        license='Apache-2.0',
        license_files=['LICENSE'],
        keywords='computer vision, self-supervised learning, masked image modeling',
        packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
        include_package_data=True,
        entry_points=dict(console_scripts=[f'conmim = {PACKAGE}.commands:main']),
        python_requires='>=3.11',
        install_requires=parse_requirements('runtime') + parse_requirements('mminstall'),
        extras_require={
            'tests': tests,
            'optional': optional,
            'formats': formats,
            'all': list(dict.fromkeys(tests + optional + formats)),
        },
        cmdclass={'build_py': BuildPy},
        zip_safe=False,
    )


# setuptools executes this file under the name __main__; a test may import it.
if __name__ == '__main__':
    main()
