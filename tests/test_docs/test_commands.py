"""Every command in README, docs and the configs' READMEs works, or says what it needs.

A command is run here, or by a test that ``table.py`` names, or stands in a block under
``<!-- needs: 8 GPUs -->`` (a data set, a cluster ...). All are checked without running them too:
files, options, configs with their ``--cfg-options``.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope

from ..conftest import ROOT
from .checks import (
    argv_of,
    check_environment,
    check_node,
    check_tool,
    loaded,
    main_of,
    shell_check,
    tool_and_words,
)
from .markdown import blocks_in
from .shell import Command, commands_of
from .table import PLACEHOLDERS, RUN_BY_TESTS, RUN_HERE, SHORTER, TRAINED_HERE, TUTORIALS

# trainings, which take seconds: one of a config is enough, wherever its data and work dir are
DONE = set()
COMMANDS = [command for block in blocks_in('bash') for command in commands_of(block)]


@pytest.mark.parametrize('command', COMMANDS, ids=str)
def test_command(command: Command, workspace: Path, monkeypatch) -> None:
    monkeypatch.chdir(workspace)
    check(command, workspace, monkeypatch)


@pytest.mark.parametrize('page', TUTORIALS)
def test_tutorial(page: str, tmp_path: Path, monkeypatch) -> None:
    """Its commands, as they are and in order, end with figures above those of a guess."""
    for name in ('configs', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        for command in COMMANDS:
            if command.place.startswith(page):
                run(command, *tool_and_words(command), monkeypatch)
        assert MessageHub.get_current_instance().get_scalar('val/mIoU').current() > 45
    features, = tmp_path.glob('runs/*.npz')
    with np.load(features) as file:
        assert len(file['features']) == 8 and np.isfinite(file['features']).all()


@pytest.mark.parametrize('node', sorted(set(RUN_BY_TESTS.values())))
def test_tests_of_the_table_exist(node: str) -> None:
    named = {RUN_BY_TESTS[key] for command in COMMANDS if (key := key_in_table(command))}
    if node in named:
        check_node(node, 'table.py')


def check(command: Command, workspace: Path, monkeypatch) -> None:
    """Checks a command, and runs it where that is the way it is known to work.

    Raises:
        AssertionError: What is wrong with it.
    """
    check_environment(command)
    started = tool_and_words(command)
    if started is None:
        of_shell = shell_check(command)
        assert of_shell, (f'{command}: neither one of our tools nor in SHELL of checks.py')
        of_shell(command)
        return
    tool, words = started
    check_tool(command, tool, words, workspace / 'photos')
    if command.needs or command.place.startswith(TUTORIALS):
        return
    launched = command.words[0].endswith('.sh')
    added = None if launched else added_to_run(tool, words)
    if added is not None:
        if (tool, *words[:1], *added) not in DONE or tool in RUN_HERE:
            run(command, tool, with_words_added(words, added), monkeypatch)
            DONE.add((tool, *words[:1], *added))
        return
    assert not launched, (f'{command}: starts several processes; put <!-- needs: 8 GPUs --> or the '
                          'like directly before the block')
    assert key_in_table(command), (
        f'{command}: no test runs it. Put its tool into RUN_HERE or RUN_BY_TESTS of table.py, or '
        '<!-- needs: ... --> directly before the block')


def key_in_table(command: Command) -> str | None:
    """The entry of ``RUN_BY_TESTS`` that covers a command."""
    started = tool_and_words(command)
    line = ' '.join([started[0], *started[1]]) if started else ''
    return max((key for key in RUN_BY_TESTS if line.startswith(key)), key=len, default=None)


def added_to_run(tool: str, words: Sequence[str]) -> list[str] | None:
    """What makes a command cheap that is run here; None for one that is not."""
    if tool in RUN_HERE:
        return RUN_HERE[tool].split()
    if tool == 'tools/train.py' and words[0] in TRAINED_HERE:
        return ['--cfg-options', *TRAINED_HERE[words[0]].split()]
    return None


def with_words_added(words: Sequence[str], added: Sequence[str]) -> list[str]:
    """Puts more words to a command; further ``--cfg-options`` beside those that it has."""
    words = [PLACEHOLDERS.get(word, word) for word in words]
    if added[:1] == ['--cfg-options'] and '--cfg-options' in words:
        place = words.index('--cfg-options') + 1
        return [*words[:place], *added[1:], *words[place:]]
    return [*words, *added]


def run(command: Command, tool: str, words: Sequence[str], monkeypatch) -> None:
    """Runs a tool in this process.

    Raises:
        AssertionError: It ends with another status than 0.
    """
    monkeypatch.setattr(sys, 'argv', argv_of(tool, words))
    for name, value in SHORTER.get(tool, {}).items():
        monkeypatch.setattr(loaded(tool), name, value)
    threads = torch.get_num_threads(), cv2.getNumThreads()
    with mock.patch.dict(os.environ, command.environment):
        try:
            status = main_of(command, tool)()
        except SystemExit as error:
            status = error.code
    torch.set_num_threads(threads[0])  # the benchmarks take one
    cv2.setNumThreads(threads[1])
    assert not status, f'{command}: ends with {status}'
