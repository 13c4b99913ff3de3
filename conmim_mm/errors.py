"""The exception for what a user can put right."""


class InputError(ValueError):
    """Something the user gave is wrong: a path, a size, a ratio, a checkpoint.

    The message is one line and says what is wrong, where, and what to do. The command-line tools
    print it without a traceback and exit with status 2; any other exception is a defect of the
    program and keeps its traceback.
    """


class StoppedBySignal(SystemExit):
    """A run that has saved its state because it was asked to end: exit status 143, as for SIGTERM.

    It passes through everything that handles errors, and ends the process.
    """

    STATUS = 143

    def __init__(self) -> None:
        super().__init__(self.STATUS)
