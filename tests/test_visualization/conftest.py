"""One toy checkpoint and some images for all tests of pictures."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from PIL import Image

from ..toy import build_model, run_cfg, write_noise_images


@pytest.fixture
def model():
    """A ConMIM whose parts all matter: random tables, layer scale and projectors."""
    return lively(build_model(drop_path_rate=0.5))


def lively(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for param in model.parameters():
            param.normal_(0., 0.3, generator=generator)
        for name, buffer in model.named_buffers():
            if 'running' in name:
                buffer.uniform_(0.5, 1.5, generator=generator)
    return model.train()


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    """Twelve images in two class folders, one of them oblong."""
    folder = tmp_path_factory.mktemp('images')
    for name in ('cat', 'dog'):
        (folder / name).mkdir()
        write_noise_images(folder / name, 6, 40)
    Image.new('RGB', (70, 40), 'red').save(folder / 'cat' / '0.png')
    return folder


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory, images) -> Path:
    """As a run of :func:`run_cfg` would leave it."""
    folder = tmp_path_factory.mktemp('checkpoint')
    cfg = Config(run_cfg(images, folder))
    model = lively(MODELS.build(cfg.model))
    torch.save(dict(meta=dict(cfg=cfg.pretty_text), state_dict=model.state_dict()),
               folder / 'iter_1.pth')
    return folder / 'iter_1.pth'
