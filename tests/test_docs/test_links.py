"""Every link from one page of the documentation to another leads somewhere, as do named files."""

import re
from pathlib import Path

import pytest

from ..conftest import ROOT

PAGES = sorted([ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md'),
                *(ROOT / 'configs').glob('*/README.md')])
LINK = re.compile(r'\]\(([^)\s]+)\)|src="([^"]+)"')
FENCED = re.compile(r'^```.*?^```', re.MULTILINE | re.DOTALL)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(page: str) -> set[str]:
    """What code hosts make of headings: lower case, no punctuation, hyphens for spaces."""
    headings = re.findall(r'^#+ (.*)$', FENCED.sub('', page), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def broken_links(path: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    broken = []
    for target in (one or two for one, two in LINK.findall(FENCED.sub('', path.read_text()))):
        if re.match(r'\w+:', target):
            continue
        file, _, anchor = target.partition('#')
        other = path.parent / file if file else path
        if not other.exists() or (anchor and anchor not in anchors(other.read_text())):
            broken.append(target)
    return broken


@pytest.mark.parametrize('path', PAGES, ids=name)
def test_links(path: Path) -> None:
    assert broken_links(path) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    (tmp_path / 'other.md').write_text('# How far, `how` fast?\n```bash\n# no heading\n```\n')
    page = tmp_path / 'page.md'
    page.write_text('[a](other.md) [b](other.md#how-far-how-fast) [c](https://d.e) ![f](g.png)\n'
                    '[h](other.md#no-heading) [i](#here)\n## Here\n```\n[j](k.md)\n```\n'
                    '<img src="l.svg">\n')
    assert broken_links(page) == ['g.png', 'other.md#no-heading', 'l.svg']


NAMED = re.compile(r'(?:conmim_mm|configs|docs|requirements|tests|tools)/[\w./-]+\w')
TEST = re.compile(r'\b(test_\w+\.py)\b|::(test_\w+)')


def missing_names(page: str) -> list[str]:
    """The files and tests that a page names though they are not there."""
    missing = [path for path in NAMED.findall(page) if not (ROOT / path).exists()]
    tests = {path.name: path.read_text() for path in (ROOT / 'tests').rglob('test_*.py')}
    file = ''
    for named, function in TEST.findall(page):
        file = named or file
        source = tests.get(file, '')
        if not source or function and f'def {function}(' not in source:
            missing.append(f'{file}::{function}' if function else file)
    return missing


@pytest.mark.parametrize('path', PAGES, ids=name)
def test_named_files(path: Path) -> None:
    assert missing_names(path.read_text()) == []


def test_missing_names_are_found() -> None:
    assert missing_names('`tools/train.py`, `tools/trian.py`; [x](../tests/toy.py), `tests/`\n'
                         'test_links.py::test_links, `::test_named_files`, `::test_none`, '
                         'test_nothing.py::test_links') == [
        'tools/trian.py', 'test_links.py::test_none', 'test_nothing.py',
        'test_nothing.py::test_links']


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / 'docs' / 'README.md').read_text()
    pages = {path.relative_to(ROOT / 'docs').as_posix() for path in PAGES
             if path.is_relative_to(ROOT / 'docs') and not path.stem.endswith('_template')}
    assert {page for page in pages - {'README.md'} if f']({page})' not in index} == set()
