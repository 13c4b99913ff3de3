"""Keeps a terminal's last line for a display that is drawn again and again."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TextIO

from mmengine.logging import MMLogger
from rich.console import Console
from rich.live import Live
from rich.text import Text

# what the display tells better than a line now and then; the log file has it all the same
REPEATED = re.compile(r'(Epoch|Iter)\(train\)|Exp name: ')


class LinesAbove:
    """Stands in for a stream to the terminal; whole lines go above the display.

    A data worker, which is a copy of this process, writes to the stream itself.

    Args:
        console: The display's.
        stream: What this one stands in for.
    """

    def __init__(self, console: Console, stream: TextIO) -> None:
        self._console = console
        self._stream = stream
        self._process = os.getpid()
        self._begun = ''

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if os.getpid() != self._process:
            return self._stream.write(text)
        lines, newline, self._begun = (self._begun + text).rpartition('\n')
        if newline:
            # what a log says is neither marked up nor broken to fit
            self._console.print(Text.from_ansi(lines), soft_wrap=True)
        return len(text)

    def flush(self) -> None:
        if os.getpid() != self._process:
            self._stream.flush()

    def end(self) -> None:
        """Writes a line that was begun and not ended."""
        if self._begun:
            self.write('\n')


@contextmanager
def display_below(live: Live) -> Iterator[None]:
    """While it lasts, ``live`` is the last line of the terminal, and all else appears above it.

    That is what goes through ``sys.stdout`` and ``sys.stderr``, and through MMEngine's loggers,
    which keep the stream they were made with. Lines of the training log are left out on the
    terminal. Streams and loggers are as before afterwards, whatever happened.

    Args:
        live: Not started yet, and drawn only when it is asked to.
    """
    console = live.console
    handlers = [handler for logger in MMLogger._instance_dict.values()
                for handler in logger.handlers if is_to_terminal(handler)]
    with ExitStack() as at_the_end:
        at_the_end.callback(live.stop)
        live.start()
        # A process that is killed would leave the terminal without a cursor.
        console.show_cursor(True)
        for name in ('stdout', 'stderr'):
            if getattr(sys, name).isatty():
                stand_in = LinesAbove(console, getattr(sys, name))
                setattr(sys, name, stand_in)
                at_the_end.callback(stand_in.end)
                at_the_end.callback(_put_back, name, stand_in)
        for handler in handlers:
            at_the_end.callback(handler.setStream, handler.stream)
            at_the_end.callback(handler.removeFilter, needs_own_line)
            handler.setStream(LinesAbove(console, handler.stream))
            handler.addFilter(needs_own_line)
        yield


def _put_back(name: str, stand_in: LinesAbove) -> None:
    if getattr(sys, name) is stand_in:  # and no one has put another one there since
        setattr(sys, name, stand_in._stream)


def is_to_terminal(handler: logging.Handler) -> bool:
    """Whether a handler writes to a terminal."""
    return (isinstance(handler, logging.StreamHandler)
            and not isinstance(handler, logging.FileHandler)
            and not handler.stream.closed and handler.stream.isatty())


def needs_own_line(record: logging.LogRecord) -> bool:
    """Whether a record says what the display does not."""
    return not REPEATED.match(record.getMessage())
