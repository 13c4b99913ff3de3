"""What several tests share."""

import functools
import gc
import importlib.util
import itertools
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from yapf.yapflib import yapf_api

from conmim_mm import register_all_modules
from conmim_mm.utils import cli

pytest_plugins = ['tests.runs', 'tests.scripts', 'tests.toy_run']

# the cores, shared among pytest-xdist's processes
THREADS = (os.cpu_count() or 1) // int(os.environ.get('PYTEST_XDIST_WORKER_COUNT', 1))
os.environ.setdefault('OMP_NUM_THREADS', str(max(THREADS, 1)))

register_all_modules()

# A tool freezes what is there when it starts; here that would keep what earlier tests left.
# At its end it collects what is left of it; here there is no interpreter that ends.
cli.gc = SimpleNamespace(freeze=lambda: None, collect=lambda: None)


FROZEN = set()


def pytest_collection_finish() -> None:
    freeze_imports()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Between two files, when nothing of a test is left."""
    if nextitem and nextitem.path != item.path and len(sys.modules) > len(FROZEN):
        freeze_imports()


def freeze_imports() -> None:
    """MMEngine collects garbage for every data set, and would go through all imports each time."""
    FROZEN.update(sys.modules)
    gc.collect()
    gc.freeze()


@functools.lru_cache(maxsize=64)
def formatted(text: str, style: tuple[tuple[str, object], ...],
              format_code: Callable = yapf_api.FormatCode) -> tuple[str, bool]:
    return format_code(text, style_config=dict(style))


# A run formats its config some five times, which takes longer than a toy's training.
yapf_api.FormatCode = lambda text, style_config: formatted(text, tuple(style_config.items()))

# MMEngine's loggers keep the stderr of the test that made them, which pytest has closed since.
logging.raiseExceptions = False

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs'
TOOLS = ROOT / 'tools'
# where Python itself looks for what a script imports
sys.path += [str(TOOLS / part) for part in (
    '', 'benchmarks', 'dataset_converters', 'demo', 'model_converters', 'reliability', 'studies',
    'visualization')]
RUN_NUMBERS = itertools.count()
GOLDEN = Path(__file__).parent / 'data' / 'golden'
# Any folder of further pretrain_*.npz; a relative path counts from the working directory.
PARITY_DIR = Path(os.environ.get('CONMIM_GOLDEN_DIR') or GOLDEN).resolve()


@pytest.fixture(autouse=True)
def no_scope() -> None:
    """A user's process has none until the first call sets it, in whichever test that would be."""
    DefaultScope._instance_dict.clear()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _loggers_of_their_own(monkeypatch) -> None:
    """MMEngine keeps one logger per experiment and second; tests start more runs than that."""
    start = Runner.__init__

    def start_numbered(self: Runner, *args, experiment_name: str | None = None, **kwargs) -> None:
        name = f'{experiment_name or "run"}_{next(RUN_NUMBERS)}'
        start(self, *args, experiment_name=name, **kwargs)

    monkeypatch.setattr(Runner, '__init__', start_numbered)


def load_tool(path: str):
    """A script below ``tools/`` as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, TOOLS / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
