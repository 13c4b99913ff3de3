"""Makes the configs known to ``mmpretrain.list_models`` and ``mmpretrain.get_model`` by name."""

import functools
import logging

from mmengine.logging import print_log
from mmpretrain.apis.model import ModelHub

from ..errors import InputError
from .shipped_files import shipped_file

# Those whose models mmpretrain can build; of a segmentor or detector it knows no part.
METAFILES = ('configs/conmim/metafile.yml', 'configs/classification/metafile.yml')


def register_models() -> None:
    """Adds the metafiles to mmpretrain's ``ModelHub``, when it is asked for a model at first.

    Parsing them takes longer than importing this package may, so nothing is read here: the hub
    reads mmpretrain's own index when it is asked for the first time, and ours after it.
    """
    own = ModelHub._register_mmpretrain_models
    if own.__module__ == __name__:  # done already, in an import before this one
        return

    def _register_with_ours(cls: type[ModelHub]) -> None:
        own()
        _read_metafiles()

    ModelHub._register_mmpretrain_models = classmethod(_register_with_ours)


@functools.cache
def _read_metafiles() -> None:
    try:
        for name in METAFILES:
            file = shipped_file(name)
            ModelHub.register_model_index(file, config_prefix=file.parents[2])
    except InputError:  # the package was copied without its configs
        return
    except Exception as error:  # must not take mmpretrain's own models away
        print_log(f'the models of conmim_mm are not listed: cannot register {file}: '
                  f'{type(error).__name__}: {error}', logger='current', level=logging.WARNING)
