"""The list of formats is the one that the documents have, and what is installed is found."""

import re

import pytest

from conmim_mm.datasets.image_formats import known

from ...conftest import ROOT


def test_the_documents_have_the_list() -> None:
    page = (ROOT / 'docs' / 'own_images.md').read_text()
    table = page.partition('| format | files |')[2].partition('\n\n')[0]
    rows = re.findall(r'^\| ([^|-]+) \| ([^|]+) \| *(.*?) ?\|$', table, re.MULTILINE)
    assert rows == [
        (one.name, ' '.join(one.endings), f'`pip install {one.package}`' if one.package else '')
        for one in (*known.IMAGE_FORMATS, known.ARRAYS)]


def test_the_requirements_have_what_is_optional() -> None:
    listed = (ROOT / 'requirements' / 'formats.txt').read_text()
    packages = {one.package for one in known.IMAGE_FORMATS if one.package}
    assert packages == set(re.findall(r'^([\w-]+)>=', listed, re.MULTILINE))


@pytest.mark.parametrize('ending, words', [
    ('.heic', 'pip install pillow-heif'), ('.dcm', 'pip install pydicom'), ('.jpg', ''),
    ('.txt', '')])
def test_what_is_missing(ending: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert known.how_to_read(ending) == ''
    monkeypatch.setattr(known, 'find_spec', lambda name: None)
    known.is_installed.cache_clear()
    assert known.how_to_read(ending) == words
    known.is_installed.cache_clear()
