"""Importing this module registers all components, and changes three other libraries on purpose.

In a config: ``custom_imports = dict(imports=['conmim_mm.registration'],
allow_failed_imports=False)``. From Python: ``conmim_mm.register_all_modules()``.
"""

import gc
import warnings

from PIL import EpsImagePlugin

_collects = gc.isenabled()
gc.disable()  # nothing of an import is garbage, and looking for some takes a seventh of its time
try:
    with warnings.catch_warnings():
        # Pre-training needs none of mmcv's compiled ops, so their absence is nothing to warn of.
        warnings.filterwarnings(
            'ignore', message='Fail to import ``MultiScaleDeformableAttention``')
        from . import datasets, engine, evaluation, models  # noqa: F401
        from .checkpoint.loaders import register_loaders
        from .utils.log_files import write_logs_as_utf8
        from .utils.model_zoo import register_models
        from .visualization import trackers  # noqa: F401
finally:
    if _collects:
        gc.enable()

# MMEngine runs the code in a checkpoint that is not plain weights. Its runner, initialisers and
# inferencers know no other way to a checkpoint than its own loaders, so it gets ours there.
register_loaders()
# OpenMMLab's loaders let Pillow find out what a file is, and for some it starts a program.
EpsImagePlugin.gs_binary = False
# mmpretrain finds the models of other packages only if they are put into its hub.
register_models()
# A log must hold the names of files, whatever the locale is.
write_logs_as_utf8()
