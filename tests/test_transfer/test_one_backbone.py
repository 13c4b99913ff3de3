"""The backbone is described once: a change there is a change of all four kinds of configs."""

import shutil
from pathlib import Path

import mmdet.models  # noqa: F401
import mmseg.models  # noqa: F401
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from ..conftest import CONFIGS

KINDS = ('conmim', 'classification', 'segmentation', 'detection')
FILES = sorted(
    path.relative_to(CONFIGS) for kind in KINDS for path in (CONFIGS / kind).glob('*.py'))


@pytest.fixture(scope='module')
def deeper(tmp_path_factory) -> Path:
    """The configs with one block more in every backbone's description."""
    folder = tmp_path_factory.mktemp('configs')
    shutil.copytree(CONFIGS, folder, dirs_exist_ok=True)
    for path in (folder / '_base_' / 'backbones').glob('*.py'):
        text = path.read_text()
        depth = Config.fromfile(path).backbone.arch.num_layers
        path.write_text(text.replace(f'num_layers={depth}', f'num_layers={depth + 1}'))
    return folder


def backbone_of(path: Path) -> dict:
    return Config.fromfile(path).model.backbone


@pytest.mark.parametrize('file', FILES, ids=str)
def test_depth_comes_from_the_one_description(file: Path, deeper: Path) -> None:
    before, after = backbone_of(CONFIGS / file), backbone_of(deeper / file)
    assert after.arch.num_layers == before.arch.num_layers + 1
    init_default_scope('mmpretrain')
    with torch.device('meta'):
        vit = MODELS.build(dict(after, type='mmpretrain.ConMIMViT', init_cfg=None))
    assert len(vit.blocks) == after.arch.num_layers
    # what is chosen among the blocks reaches to the last one still
    assert max(vit.out_indices) == vit.num_layers - 1
    if after.get('window_blocks'):
        assert vit.num_layers - 1 not in vit.window_blocks
        assert vit.num_layers - len(vit.window_blocks) == 4
    if after.get('frozen_stages', -1) >= 0:
        assert vit.frozen_stages == vit.num_layers


def test_every_kind_of_config_is_there() -> None:
    for kind in KINDS:
        for arch in ('vit-s', 'vit-b', 'vit-l', 'vit-tiny'):
            assert any(file.parts[0] == kind and file.name.startswith(arch) for file in FILES)
