"""A runner that leaves the terminal to what a person reads."""

import logging

from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmpretrain.registry import RUNNERS

MAX_LINES = 3


@RUNNERS.register_module()
class BriefRunner(Runner):
    """MMEngine's, whose listings of environment, config and hooks go to the log file alone.

    ``conmim pretrain`` writes it into its configs: the summary that it prints before would scroll
    away behind 300 lines. Arguments as in :class:`mmengine.runner.Runner`.
    """

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """MMEngine's logger, which shows only short messages and warnings."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(is_worth_showing)
        return logger


def is_worth_showing(record: logging.LogRecord) -> bool:
    """Whether a message is short, or a warning."""
    return record.levelno > logging.INFO or record.getMessage().count('\n') < MAX_LINES
