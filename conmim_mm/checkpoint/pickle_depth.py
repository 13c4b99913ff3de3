"""Whether a pickle can be read without exhausting the stack of the process."""

import pickle
from collections.abc import Callable
from typing import BinaryIO

MAX_DEPTH = 100


class TooDeepError(ValueError):
    """Tuples in tuples, which crash Python where they are a key: it hashes them without a limit."""


def check_depth(file: BinaryIO) -> None:
    """Reads a pickle, calling nothing that it names.

    Args:
        file: At its beginning; afterwards behind its end.

    Raises:
        TooDeepError: Tuples in it are nested deeper than a run saves any.
    """
    try:
        _Reader(file, encoding='latin1').load()
    except TooDeepError:
        raise
    except Exception:  # PyTorch, which takes less than this, will say so
        return


class _Nothing:
    """For whatever a pickle names and calls."""

    def __new__(cls, *_: object) -> '_Nothing':
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        hash(key)


def _noting(load: Callable) -> Callable:
    def noted(reader: '_Reader') -> None:
        load(reader)
        reader.note()

    return noted


class _Reader(pickle._Unpickler):  # in Python, so that it can be looked into

    def __init__(self, file: BinaryIO, **options: str) -> None:
        super().__init__(file, **options)
        self.depths: dict[int, int] = {}
        self.tuples: list[tuple] = []  # kept, so that no other has their id

    def find_class(self, module: str, name: str) -> type:
        return _Nothing

    def persistent_load(self, pid: object) -> _Nothing:
        hash(pid)
        return _Nothing()

    def note(self) -> None:
        made = self.stack[-1]
        depth = 1 + max((self.depths.get(id(item), 0) for item in made), default=0)
        if depth > MAX_DEPTH:
            raise TooDeepError('it holds too much, or too deep')
        self.depths[id(made)] = depth
        self.tuples.append(made)

    dispatch = dict(pickle._Unpickler.dispatch)
    for code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3):
        dispatch[code[0]] = _noting(dispatch[code[0]])
