"""Takes the commands out of a block of shell: as much of the language as documents need."""

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from .markdown import Block

ASSIGNMENT = re.compile(r'^([A-Za-z_]\w*)=(.*)$', re.DOTALL)
VARIABLE = re.compile(r'\$(?:(\w+)|\{(\w+)\})')


@dataclass(frozen=True)
class Command:
    """One command as it is typed.

    Attributes:
        place: ``file:line``.
        words: Its words, without quotes, variables of the block filled in.
        environment: What stands before them as ``NAME=value``.
        needs: The mark of its block.
    """

    place: str
    words: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    needs: str | None = None

    def __str__(self) -> str:
        return f'{self.place}: {shlex.join(self.words)}'


def commands_of(block: Block) -> list[Command]:
    """The commands of a block; one in a loop once for every value of its variable.

    Raises:
        ValueError: A part of the shell that this does not know.
    """
    commands, loops, variables = [], [], {}
    for line, words in _simple_commands(block):
        place = f'{block.file}:{line}'
        if words[0] == 'for':
            if words[2:3] != ['in']:
                raise ValueError(f'{place}: only loops of the form: for NAME in WORDS; do')
            loops.append(words[1])
            variables[words[1]] = words[3:]
            continue
        if words[0] == 'done':
            loops.pop()
            continue
        words = words[1:] if words[0] == 'do' else words
        if any('(' in word and word.strip('()') == '' for word in words):
            raise ValueError(f'{place}: no subshells here, please')
        environment, rest = _split_environment(words)
        if not rest:
            variables |= {name: [value] for name, value in environment.items()}
            continue
        for filled in _fill_in(rest, variables):
            commands.append(Command(place, tuple(filled), environment, block.needs))
    if loops:
        raise ValueError(f'{block.file}:{block.line}: a loop without its done')
    return commands


def _simple_commands(block: Block) -> Iterator[tuple[int, list[str]]]:
    """Words between separators, with the line on which their statement begins."""
    for line, statement in _statements(block):
        words = []
        for token in [*_tokens(statement), ';']:
            if token.strip(';&|'):
                words.append(token)
            elif words:
                yield line, words
                words = []


def _statements(block: Block) -> Iterator[tuple[int, str]]:
    """Lines, those joined that a backslash or an open quote joins."""
    start, text = block.line, ''
    for number, line in enumerate(block.text.splitlines(), block.line):
        if not text:
            start = number
        if line.rstrip().endswith('\\'):
            text += line.rstrip()[:-1]
            continue
        text += line
        try:
            _tokens(text)
        except ValueError:
            text += '\n'
            continue
        yield start, text
        text = ''
    if text.strip():
        raise ValueError(f'{block.file}:{start}: a quote is not closed, or the last line goes on')


def _tokens(statement: str) -> list[str]:
    lexer = shlex.shlex(statement, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def _split_environment(words: list[str]) -> tuple[dict[str, str], list[str]]:
    before = list(itertools.takewhile(ASSIGNMENT.match, words))
    environment = dict(ASSIGNMENT.match(word).groups() for word in before)
    return environment, words[len(before):]


def _fill_in(words: list[str], variables: dict[str, list[str]]) -> Iterator[list[str]]:
    """The words with every combination of the values of the variables in them."""
    used = {name for word in words for match in VARIABLE.finditer(word)
            if (name := match[1] or match[2]) in variables}
    for values in itertools.product(*(variables[name] for name in sorted(used))):
        chosen = dict(zip(sorted(used), values, strict=True))
        yield [VARIABLE.sub(lambda match, chosen=chosen: chosen.get(match[1] or match[2], match[0]),
                            word) for word in words]
