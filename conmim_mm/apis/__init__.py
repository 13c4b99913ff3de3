"""Everything that ``conmim`` does, as functions: ``from conmim_mm.apis import pretrain, embed``.

The first of them that is imported brings PyTorch and OpenMMLab along and registers the components.
They print nothing, but for the log of a training.
"""

import contextlib
import importlib
import io
from collections.abc import Callable

# Where each is. No module may have a function's name: once imported it would take its place here.
_MODULES = dict(pretrain='pretraining.start', knn='evaluate', linear='evaluate',
                dense_knn='dense_evaluation', dense_linear='dense_evaluation',
                compare='compare_backbones', embed='feature_file', export='export_backbone',
                report='run_report')

__all__ = list(_MODULES)


def __getattr__(name: str) -> Callable:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from .. import register_all_modules

    # mmpretrain's data sets print that they lack a library nobody asked for
    with contextlib.redirect_stdout(io.StringIO()):
        register_all_modules()
    return getattr(importlib.import_module(f'.{_MODULES[name]}', __name__), name)
