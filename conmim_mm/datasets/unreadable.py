"""Whatever a bad image file causes becomes one kind of error."""

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import UnidentifiedImageError

from ..errors import UnreadableImageError


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Around code that does nothing but read an image file.

    Decoders raise nearly anything on damaged files: struct.error, KeyError, ZeroDivisionError,
    MemoryError, cv2.error. So all of it counts here, and nothing else may be done inside.

    Args:
        path: The file.

    Raises:
        UnreadableImageError: In place of any exception.
    """
    try:
        yield
    except UnreadableImageError:
        raise
    except FileNotFoundError as error:
        raise UnreadableImageError(f'no such image: {path}', 'no such file') from error
    except Exception as error:
        reason = describe_read_error(error)
        raise UnreadableImageError(f'cannot read the image {path}: {reason}', reason) from error


def describe_read_error(error: Exception) -> str:
    """What is wrong with a file, in one line and without its name where that is possible."""
    if isinstance(error, UnidentifiedImageError):
        return 'not an image'
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return ' '.join(str(error).split()) or type(error).__name__
