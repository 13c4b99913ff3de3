"""docs/options.md lists every option of ``conmim pretrain`` and of ``tools/train.py``."""

import re
import sys

import pytest

from conmim_mm.commands import main

from ..conftest import ROOT
from .checks import loaded

PAGE = (ROOT / 'docs' / 'options.md').read_text()
NOT_TYPED = {'--help', '--launcher', '--local_rank', '--local-rank'}  # the launchers give them


def train(argv: list[str]) -> None:
    sys.argv = ['tools/train.py', *argv]
    loaded('tools/train.py').main()


@pytest.mark.parametrize('heading, start, words', [
    ('`conmim pretrain`', main, ['pretrain']), ('`tools/train.py`', train, [])])
def test_every_option_is_listed(heading: str, start, words: list[str], capsys,
                                monkeypatch) -> None:
    section = PAGE.partition(f'\n## {heading}')[2].partition('\n## ')[0]
    listed = re.findall(r'^\| `(--[\w-]+)', section, re.MULTILINE)
    monkeypatch.setattr(sys, 'argv', [])
    with pytest.raises(SystemExit):
        start([*words, '--help'])
    usage = capsys.readouterr().out.partition('\n\n')[0]
    assert sorted(listed) == sorted(set(re.findall(r'--[\w-]+', usage)) - NOT_TYPED)
