"""Importing the package changes nothing; its registration does, once."""

import subprocess
import sys

from mmengine.registry import Registry
from mmengine.runner.checkpoint import CheckpointLoader
from mmpretrain import registry
from mmpretrain.apis.model import ModelHub

import conmim_mm
from conmim_mm.checkpoint import loaders
from conmim_mm.utils import model_zoo

from .conftest import ROOT

IN_A_NEW_PROCESS = """
import sys
finders = list(sys.meta_path)
sys.argv = ['train.py']
import conmim_mm
heavy = {'torch', 'numpy', 'mmengine', 'mmcv', 'mmpretrain', 'mmdet'}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
assert sys.meta_path == finders

from mmengine.registry import Registry
from mmengine.runner.checkpoint import CheckpointLoader
from mmpretrain import registry
from mmpretrain.apis.model import ModelHub

def ours():
    kinds = [kind for kind in vars(registry).values() if isinstance(kind, Registry)]
    classes = [cls for kind in kinds for cls in kind.module_dict.values()]
    changed = [*CheckpointLoader._schemes.values(), ModelHub._register_mmpretrain_models]
    return [one for one in [*classes, *changed] if one.__module__.startswith('conmim_mm')]

assert not ours(), ours()
conmim_mm.register_all_modules()
assert len(ours()) > 30, ours()
assert not any(type(one).__module__.startswith('conmim_mm') for one in sys.meta_path)
"""


def test_importing_the_package_changes_nothing() -> None:
    done = subprocess.run([sys.executable, '-c', IN_A_NEW_PROCESS], cwd=ROOT, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_what_registration_changes_in_other_libraries() -> None:
    for scheme, loader in CheckpointLoader._schemes.items():
        assert loader.__module__ == loaders.__name__ or hasattr(loader, '__wrapped__'), scheme
    assert CheckpointLoader._schemes[''] is loaders.load_from_local
    assert ModelHub._register_mmpretrain_models.__module__ == model_zoo.__name__


def test_registering_again_changes_nothing() -> None:
    kinds = [kind for kind in vars(registry).values() if isinstance(kind, Registry)]

    def state() -> list:
        return [dict(kind.module_dict) for kind in kinds] + [
            dict(CheckpointLoader._schemes), ModelHub._register_mmpretrain_models]

    before = state()
    conmim_mm.register_all_modules()
    assert state() == before
