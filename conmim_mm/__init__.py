"""ConMIM (Masked Image Modeling with Denoising Contrast, ICLR 2023) for OpenMMLab.

Importing this package registers its components into mmpretrain's registries; a config does so by
``custom_imports = dict(imports=['conmim_mm'], allow_failed_imports=False)``. Only the command line
``conmim`` does it later, when a sub-command needs them.
"""

import warnings

from .errors import InputError
from .lean_import import lean_import
from .utils.cli import is_command_line
from .version import __version__

__all__ = ['InputError', '__version__', 'register_components']


def register_components() -> None:
    """Registers the components; done by the import already, but for ``conmim``."""
    with lean_import(), warnings.catch_warnings():
        # Pre-training needs none of mmcv's compiled ops, so their absence is nothing to warn of.
        warnings.filterwarnings(
            'ignore', message='Fail to import ``MultiScaleDeformableAttention``')
        from . import datasets, engine, evaluation, models  # noqa: F401
        from .utils.model_zoo import register_models
    register_models()


# `conmim --help` and wrong arguments are answered at once, `conmim doctor` also where PyTorch or
# mmcv can't be imported.
if not is_command_line():
    register_components()
