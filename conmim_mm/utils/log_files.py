"""MMEngine's log files in UTF-8, wherever a run is started."""

import functools
import logging

from mmengine.logging import MMLogger


def write_logs_as_utf8() -> None:
    """From now on new loggers write UTF-8, and bytes of names that are none as escapes.

    MMEngine opens its log files in the encoding of the locale, of which ``LC_ALL=C`` makes ASCII,
    and a line that cannot be encoded becomes a traceback on the terminal.
    """
    if hasattr(MMLogger.__init__, '__wrapped__'):
        return
    start = MMLogger.__init__

    @functools.wraps(start)
    def start_in_utf8(self: MMLogger, *args: object, **kwargs: object) -> None:
        start(self, *args, **kwargs)
        for handler in self.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.stream.reconfigure(encoding='utf-8', errors='backslashreplace')

    MMLogger.__init__ = start_in_utf8
