"""Importing mmpretrain without mmdetection, which one of its modules would bring along.

``mmpretrain.models.utils.res_layer_extra_norm`` defines a layer for mmdetection wherever that is
installed, so mmpretrain's models would import all detectors, and with them matplotlib, SciPy's
optimizers and scikit-image, for runs that detect nothing.
"""

import gc
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

_HIDDEN = 'mmdet'
_AWAITED = 'mmdet.models'
_LAYER_MODULE = 'mmpretrain.models.utils.res_layer_extra_norm'
_LAYER_PACKAGES = ('mmpretrain.models.utils', 'mmpretrain.models')  # they name the layer, too


@contextmanager
def lean_import() -> Iterator[None]:
    """Around an import of mmpretrain: mmdetection stays out of it and no garbage is collected.

    Where mmdetection or that module of mmpretrain has been imported before, it is left alone.
    Otherwise mmpretrain does without mmdetection until that is imported, and gets its layer then.
    """
    hides = _HIDDEN not in sys.modules and _LAYER_MODULE not in sys.modules
    collects = gc.isenabled()
    if hides:
        sys.modules[_HIDDEN] = None  # Python's way to make an import fail
    gc.disable()  # nothing of an import is garbage, and looking for some takes a tenth of its time
    try:
        yield
    finally:
        if collects:
            gc.enable()
        if hides:
            del sys.modules[_HIDDEN]
            sys.meta_path.insert(0, _DetectorsFinder())


class _DetectorsFinder(MetaPathFinder):
    """Finds mmdetection's models as Python does, for a loader that also completes mmpretrain."""

    def find_spec(self, name: str, path: Sequence[str] | None = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _AWAITED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = _DetectorsLoader(name, spec.origin)
        return spec


class _DetectorsLoader(SourceFileLoader):

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        sys.meta_path[:] = [
            finder for finder in sys.meta_path if not isinstance(finder, _DetectorsFinder)]
        if _LAYER_MODULE in sys.modules:
            layer_module = importlib.reload(sys.modules[_LAYER_MODULE])
            for package in _LAYER_PACKAGES:
                sys.modules[package].ResLayerExtraNorm = layer_module.ResLayerExtraNorm
