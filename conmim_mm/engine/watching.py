"""What only watches a run never ends it."""

import functools
import logging
from collections.abc import Callable

from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.visualization import LocalVisBackend

from ..errors import InputError, one_line
from .private_names import backends_of

_SENDING = ('add_config', 'add_graph', 'add_image', 'add_scalar', 'add_scalars', 'close')


def only_watches(method: Callable) -> Callable:
    """Makes a method end in one warning where it would end a run; then its object is left alone.

    An :class:`InputError` passes: what a config asks for cannot be.

    Args:
        method: Of a hook, or of another object that only watches; all of an object that are
            decorated are silent once one has failed.
    """
    @functools.wraps(method)
    def watch(self: object, *args: object, **kwargs: object) -> object:
        if vars(self).get('_has_failed'):
            return None
        try:
            return method(self, *args, **kwargs)
        except InputError:
            raise
        except Exception as error:
            self._has_failed = True
            print_log(f'{type(self).__name__} has failed and is left out from now on ('
                      f'{one_line(f"{type(error).__name__}: {error}")}); training goes on',
                      logger='current', level=logging.WARNING)

    return watch


def guard_trackers(runner: Runner) -> None:
    """From now on a tracker that fails, as without a network, is left out; not so the local log."""
    for backend in backends_of(runner.visualizer):
        if isinstance(backend, LocalVisBackend):
            continue
        for name in _SENDING:
            method = only_watches(getattr(type(backend), name))
            setattr(backend, name, functools.partial(method, backend))
