"""MMEngine's ways to a checkpoint, without running code in it.

MMEngine unpickles in full what does not load as plain weights. Here ``load_from``, ``resume``,
``init_cfg=dict(type='Pretrained')`` and the inferencers of all toolboxes refuse it instead, unless
the environment says that checkpoints are trusted (``--trust-checkpoint``).
"""

import functools
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import yaml
from mmengine.dist import barrier, is_main_process
from mmengine.fileio import YamlHandler, register_handler
from mmengine.runner.checkpoint import CheckpointLoader

from ..errors import InputError
from .reading import MapLocation, are_checkpoints_trusted, describe_refusal, load_checkpoint_file

_FORCE_PLAIN = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'  # PyTorch's own switch, stronger than an argument
_OWN_PREFIXES = ('', 'http://', 'https://')


class PlainYamlHandler(YamlHandler):
    """Reads YAML, that of configs and of their bases too, as data; MMEngine's would run code."""

    def load_from_fileobj(self, file: IO, **kwargs) -> Any:
        """What a YAML file holds."""
        return super().load_from_fileobj(file, Loader=yaml.SafeLoader, **kwargs)


def register_loaders() -> None:
    """Puts this project's reader behind MMEngine's ``CheckpointLoader``, and one for YAML.

    Files and web addresses are read by it. The other schemes (model zoos, object stores) keep
    MMEngine's loaders, which are not let unpickle.
    """
    for prefix, loader in list(CheckpointLoader._schemes.items()):
        if prefix not in _OWN_PREFIXES and not hasattr(loader, '__wrapped__'):
            CheckpointLoader.register_scheme(prefix, _as_plain_data(loader), force=True)
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    CheckpointLoader.register_scheme(['http://', 'https://'], load_from_http, force=True)
    register_handler(['yaml', 'yml'])(PlainYamlHandler)


def load_from_local(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """A checkpoint file, as :func:`load_checkpoint_file` reads it."""
    return load_checkpoint_file(os.path.expanduser(filename), map_location=map_location)


def load_from_http(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """A checkpoint behind a web address; the first process fetches it for those beside it."""
    try:
        if is_main_process():
            return load_checkpoint_file(filename, map_location=map_location)
    finally:
        barrier()
    return load_checkpoint_file(filename, map_location=map_location)


def _as_plain_data(loader: Callable) -> Callable:
    @functools.wraps(loader)  # MMEngine names the loader in the log
    def load(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
        if are_checkpoints_trusted():
            return loader(filename, map_location=map_location)
        try:
            with _only_plain_data():
                return loader(filename, map_location=map_location)
        except pickle.UnpicklingError as error:
            raise InputError(describe_refusal(filename, error)) from error

    return load


@contextmanager
def _only_plain_data() -> Iterator[None]:
    before = os.environ.get(_FORCE_PLAIN)
    os.environ[_FORCE_PLAIN] = '1'
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FORCE_PLAIN]
        else:
            os.environ[_FORCE_PLAIN] = before
