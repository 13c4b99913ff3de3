"""Anything as data that a file can be read back from without running code in it."""

import inspect
import re
from collections.abc import Mapping
from pathlib import PurePath

import numpy as np
import torch
from mmengine.structures import BaseDataElement


def plain_data(value: object) -> object:
    """Tensors on the CPU, numbers, strings, None, and dicts, lists and tuples of these.

    Arrays become tensors, sets lists, data elements (the samples of OpenMMLab) dicts, classes and
    functions their full names, paths strings. Whatever else there is becomes its description,
    without its address.

    Args:
        value: A batch, a state dict, a config's dict, or the like.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, np.ndarray) and value.dtype.kind in 'biuf':
        return torch.from_numpy(value)
    if isinstance(value, np.generic):
        return plain_data(value.item())
    if isinstance(value, BaseDataElement):
        return {key: plain_data(item) for key, item in value.all_items()}
    if isinstance(value, Mapping):
        return {plain_data(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(plain_data(item) for item in value)
    if isinstance(value, list | set | frozenset):
        return [plain_data(item) for item in value]
    if isinstance(value, type) or inspect.isroutine(value):
        return f'{value.__module__}.{value.__qualname__}'
    if isinstance(value, PurePath):
        return str(value)
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)  # a subclass would need its own code
    return None if value is None else without_addresses(repr(value))


def without_addresses(text: str) -> str:
    """A description of objects that is the same in each process."""
    return re.sub(r' at 0x[0-9a-fA-F]+', '', text)
