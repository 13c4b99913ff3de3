"""The exceptions for what a user can put right, and how any other is told of in a message."""


def one_line(value: object) -> str:
    """The text of an error, or of anything else, without line ends and runs of spaces."""
    return ' '.join(str(value).split())


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


class UnreadableImageError(InputError):
    """A file of the data set is missing, or is not an image that can be read.

    Args:
        message: The line as in :class:`InputError`, with the file's name.
        reason: What is wrong with the file, without its name.
        bands: How many channels it has, where these are others than are asked for.
    """

    def __init__(self, message: str, reason: str = '', bands: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason or message
        self.bands = bands
