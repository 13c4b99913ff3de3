"""What MMEngine saves besides tensors, built of the bytes in a checkpoint and of nothing else.

A pickle names functions and gives them arguments. NumPy's own, called as no NumPy would write it,
crash the process or show its memory. So each name leads to a stand-in that takes one state of the
one form that there is, and :func:`finished` puts the real thing in its place.
"""

import math
import pickle
import re
from collections import OrderedDict
from typing import Any, NoReturn

import numpy as np
from mmengine.logging import HistoryBuffer

MAX_DEPTH = 100
MAX_VALUES = 1_000_000  # a run's records and optimizer have some ten thousand
_NUMBER = re.compile(r'[biufc]\d{1,2}')  # NumPy's code of a numeric type


def _refuse(what: str) -> NoReturn:
    raise pickle.UnpicklingError(f'the file holds {what}')


class _OneState:
    """Takes one state; a second would change what is in use."""

    has_state = False
    value: Any = None  # what it stands for

    def __setstate__(self, state: object) -> None:
        if self.has_state:
            _refuse(f'two states of one {type(self).__name__.removesuffix("StandIn")}')
        self.has_state = True
        self.take(state)


class DTypeStandIn(_OneState):
    """For ``numpy.dtype``: of numbers only."""

    def __init__(self, code: object, *_: object) -> None:
        if not (isinstance(code, str) and _NUMBER.fullmatch(code)):
            _refuse(f'an array of {str(code)[:20]!r}, not of numbers')
        self.value = np.dtype(code)

    def take(self, state: object) -> None:
        match state:
            case (_, '<' | '>' | '=' | '|' as order, None, None, None, *_):
                self.value = self.value.newbyteorder(order)
            case _:
                _refuse('a numeric type with fields')


class ArrayStandIn(_OneState):
    """For ``numpy.ndarray``, as ``_reconstruct`` begins it and its state completes it."""

    def take(self, state: object) -> None:
        match state:
            case (_, tuple(shape), DTypeStandIn(value=np.dtype() as dtype), bool(by_column),
                  bytes(data)):
                self.value = _array(shape, dtype, data).reshape(shape, order='CF'[by_column])
            case _:
                _refuse('an array of another form than NumPy writes')


class HistoryStandIn(_OneState):
    """For MMEngine's record of logged numbers."""

    def take(self, state: object) -> None:
        match state:
            case {'max_length': int(length), '_log_history': ArrayStandIn(value=log),
                  '_count_history': ArrayStandIn(value=count)}:
                self.value = HistoryBuffer(log, count, length)
            case _:
                _refuse('a record of another form than MMEngine writes')


def _array(shape: tuple, dtype: np.dtype, data: bytes) -> np.ndarray:
    if not all(type(side) is int and side >= 0 for side in shape) or (
            math.prod(shape) * dtype.itemsize != len(data)):
        _refuse('an array of another size than its data')
    return np.frombuffer(data, dtype).copy() if data else np.zeros(shape, dtype)


def _reconstruct(*_: object) -> ArrayStandIn:
    return ArrayStandIn()


def _scalar(kind: object, data: object) -> np.generic:
    match kind, data:
        case DTypeStandIn(value=np.dtype() as dtype), bytes():
            return _array((1,), dtype, data)[0]
    return _refuse('a number of another form than NumPy writes')


def _attribute_of_history(owner: object, name: object) -> str:
    # The record names its own methods, which are not taken from the file.
    if owner is not HistoryStandIn or not isinstance(name, str) or name.startswith('_'):
        _refuse(f'the attribute {name!r} of {owner!r}')
    return name


def _no_bytes() -> bytes:
    return b''


# The names that a file may ask for besides PyTorch's own; NumPy 1 had others than NumPy 2.
STAND_INS = [
    (HistoryStandIn, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (_attribute_of_history, 'builtins.getattr'),
    (_no_bytes, 'builtins.bytes'),  # the data of an empty array
    (DTypeStandIn, 'numpy.dtype'),
    (ArrayStandIn, 'numpy.ndarray'),
    *((function, f'numpy.{core}.multiarray.{name}') for core in ('core', '_core')
      for name, function in (('_reconstruct', _reconstruct), ('scalar', _scalar)))
]


def finished(content: object) -> Any:
    """What was loaded with the real things in the places of stand-ins.

    Args:
        content: Of a checkpoint; its dicts and lists are changed in place.

    Raises:
        ValueError: It is deeper or larger than what a run saves (a file of a few bytes may hold one
            list a million times, or a list in itself), or a stand-in has no state.
    """
    left = MAX_VALUES

    def finish(value: Any, depth: int) -> Any:
        nonlocal left
        if isinstance(value, _OneState):
            if value.value is None:
                raise ValueError('it holds an array without data')
            return value.value
        if type(value) not in (dict, OrderedDict, list, tuple):
            return value
        left -= 1 + len(value)
        if depth > MAX_DEPTH or left < 0:
            raise ValueError('it holds too much, or too deep')
        if isinstance(value, dict):
            _keep_metadata(value)
            for key, item in value.items():
                value[key] = finish(item, depth + 1)
            return value
        items = [finish(item, depth + 1) for item in value]
        if isinstance(value, tuple):
            return tuple(items)
        value[:] = items
        return value

    return finish(content, 0)


def _keep_metadata(state: dict) -> None:
    """Drops what a file may set on a state dict besides PyTorch's record of module versions."""
    if not isinstance(state, OrderedDict):
        return
    metadata = vars(state).get('_metadata')
    vars(state).clear()
    if isinstance(metadata, dict) and all(isinstance(item, dict) for item in metadata.values()):
        state._metadata = metadata
