"""ConMIM (Masked Image Modeling with Denoising Contrast, ICLR 2023) for OpenMMLab.

Importing this package registers its components into mmpretrain's registries; a config does so by
``custom_imports = dict(imports=['conmim_mm'], allow_failed_imports=False)``.
"""

import warnings

with warnings.catch_warnings():
    # Pre-training needs none of mmcv's compiled ops, so their absence is nothing to warn of.
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
    from . import datasets, engine, models  # noqa: F401  (registers the components)
from .errors import InputError
from .version import __version__

__all__ = ['InputError', '__version__']
