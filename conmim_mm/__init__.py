"""ConMIM (Masked Image Modeling with Denoising Contrast, ICLR 2023) for OpenMMLab.

Importing this package registers its components into mmpretrain's registries; a config does so by
``custom_imports = dict(imports=['conmim_mm'], allow_failed_imports=False)``.
"""

import warnings

from .lean_import import lean_import

with lean_import(), warnings.catch_warnings():
    # Pre-training needs none of mmcv's compiled ops, so their absence is nothing to warn of.
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
    from . import datasets, engine, models  # noqa: F401  (registers the components)
from .errors import InputError
from .version import __version__

__all__ = ['InputError', '__version__']
