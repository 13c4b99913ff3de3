"""Makes the configs known to ``mmpretrain.list_models`` and ``mmpretrain.get_model`` by name."""

import functools
import logging
from pathlib import Path

from mmengine.logging import print_log
from mmpretrain.apis.model import ModelHub

PACKAGE = Path(__file__).resolve().parents[1]
# Those whose models mmpretrain can build; of a segmentor or detector it knows no part.
METAFILES = ('configs/conmim/metafile.yml', 'configs/classification/metafile.yml')


def zoo_root() -> Path | None:
    """The folder that holds ``configs``: an installation's ``.mim`` or the checkout.

    Returns:
        None where the package was copied without its configs.
    """
    return next((folder for folder in (PACKAGE / '.mim', PACKAGE.parent)
                 if all((folder / name).is_file() for name in METAFILES)), None)


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
    root = zoo_root()
    if root is None:
        return
    try:
        for name in METAFILES:
            ModelHub.register_model_index(root / name, config_prefix=root)
    except Exception as error:  # must not take mmpretrain's own models away
        print_log(f'the models of conmim_mm are not listed: cannot register {root / name}: '
                  f'{type(error).__name__}: {error}', logger='current', level=logging.WARNING)
