"""ConMIM (Masked Image Modeling with Denoising Contrast, ICLR 2023) for OpenMMLab.

Importing this package registers nothing. A config has its components registered by
``custom_imports = dict(imports=['conmim_mm.registration'], allow_failed_imports=False)``, a script
by :func:`register_all_modules`.
"""

import importlib

from .errors import InputError
from .version import __version__

__all__ = ['InputError', '__version__', 'register_all_modules']


def register_all_modules() -> None:
    """Registers the components in mmpretrain's registries, as :mod:`conmim_mm.registration` says.

    Takes seconds the first time, as PyTorch and mmpretrain are imported, and nothing after that.
    """
    importlib.import_module('.registration', __package__)
