"""The fenced blocks of the documents, each with its place and what it says it needs."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from ..conftest import ROOT

# directly before a block: what a machine must have to run it, such as 8 GPUs or a data set
MARK = re.compile(r'^\s*<!--\s*needs:\s*(\S.*?)\s*-->\s*$')
FENCE = re.compile(r'^(\s*)(```+)\s*(\w*)\s*$')


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        file: The document, relative to the checkout.
        line: The number of its first line inside the fence.
        language: The word behind the fence, such as ``bash``.
        text: What stands in it, without the fence's indentation.
        needs: What the mark before it says; None without one.
    """

    file: str
    line: int
    language: str
    text: str
    needs: str | None


def documents() -> list[Path]:
    """README, docs and the configs' READMEs; a template is filled in before anybody reads it."""
    found = [ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md'),
             *(ROOT / 'configs').glob('*/README.md')]
    return sorted(path for path in found if not path.stem.endswith('_template'))


def blocks_of(path: Path) -> list[Block]:
    """The fenced blocks of a document.

    Raises:
        ValueError: A fence is not closed, or a mark does not stand before a block.
    """
    file = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    lines = path.read_text(encoding='utf-8').splitlines()
    blocks, needs, i = [], None, 0
    while i < len(lines):
        fence, mark = FENCE.match(lines[i]), MARK.match(lines[i])
        if needs and not fence:
            raise ValueError(f'{file}:{i}: <!-- needs: --> must stand directly before a block')
        needs = mark[1] if mark else needs
        if fence:
            end = next((j for j in range(i + 1, len(lines)) if lines[j].strip() == fence[2]), None)
            if end is None:
                raise ValueError(f'{file}:{i + 1}: this block is not closed')
            text = textwrap.dedent('\n'.join(lines[i + 1:end]))
            blocks.append(Block(file, i + 2, fence[3], text, needs))
            needs, i = None, end
        i += 1
    return blocks


def blocks_in(language: str) -> list[Block]:
    """All blocks of a language in all documents."""
    return [block for path in documents() for block in blocks_of(path)
            if block.language == language]
