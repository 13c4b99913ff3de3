"""What the commands of the documents work on: photos, a run and the checkout's own files."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from ..conftest import ROOT
from ..toy import run_cfg


@pytest.fixture(scope='session')
def workspace(tmp_path_factory) -> Path:
    """A working directory: ``photos``, ``run`` (of two steps) and links to the checkout."""
    folder = tmp_path_factory.mktemp('workspace')
    for name in ('configs', 'tools', 'docs'):
        (folder / name).symlink_to(ROOT / name)
    photos = folder / 'photos'
    rng = np.random.default_rng(0)
    for name in ('a', 'b'):
        (photos / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(
                photos / name / f'{i}.jpg')
    cfg = Config(run_cfg(photos, folder / 'run', log_level='ERROR', default_hooks=dict(
        checkpoint=dict(type='AtomicCheckpointHook', interval=1),
        logger=dict(type='LoggerHook', interval=1))))
    Runner.from_cfg(cfg).train()
    return folder
