"""Importing the package leaves mmdetection out, and takes nothing from it."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from conmim_mm.lean_import import lean_import

ROOT = Path(__file__).resolve().parents[1]

IN_A_NEW_PROCESS = """
import gc, sys
import conmim_mm
from mmpretrain.models import utils
assert utils.ResLayerExtraNorm is None
needless = {'mmdet', 'mmseg', 'timm', 'matplotlib', 'skimage', 'shapely', 'imaug'}
assert not needless & sys.modules.keys(), needless & sys.modules.keys()
assert gc.isenabled()

import mmpretrain
import torch
from mmdet.registry import MODELS
assert 'mmdet.models' not in sys.modules
# the block of C4 detectors, as mmpretrain's own configs build it
layer = MODELS.build(dict(type='ResLayerExtraNorm', depth=50, stage=3, stride=2, style='caffe',
                          norm_cfg=dict(type='BN')))
assert layer(torch.rand(2, 1024, 4, 4)).shape == (2, 2048, 2, 2)
assert type(layer) is utils.ResLayerExtraNorm is mmpretrain.models.ResLayerExtraNorm
# a detector's other parts
assert MODELS.get('MaskRCNN').__module__ == 'mmdet.models.detectors.mask_rcnn'
neck = MODELS.build(dict(type='mmpretrain.SimpleFeaturePyramid', in_channels=8, out_channels=4))
rpn = MODELS.build(dict(type='RPNHead', in_channels=4, feat_channels=4, anchor_generator=dict(
    type='AnchorGenerator', scales=[8], ratios=[1.], strides=[4, 8, 16, 32, 64])))
scores, _ = rpn(neck((torch.rand(1, 8, 8, 8),)))
assert [score.shape[-1] for score in scores] == [32, 16, 8, 4, 2]
# done once, nothing stays behind
assert 'conmim_mm.lean_import' not in {type(finder).__module__ for finder in sys.meta_path}
"""


@pytest.mark.slow
def test_detectors_come_when_they_are_asked_for() -> None:
    pytest.importorskip('mmcv._ext')
    result = subprocess.run([sys.executable, '-c', IN_A_NEW_PROCESS], cwd=ROOT,
                            capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def as_at_start(monkeypatch) -> None:
    """Neither mmdetection nor mmpretrain imported yet."""
    for name in list(sys.modules):
        if name.partition('.')[0] in ('mmdet', 'mmpretrain'):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, 'meta_path', sys.meta_path.copy())


def test_a_failed_import_leaves_nothing_behind(as_at_start) -> None:
    with pytest.raises(ImportError, match='mmdet'), lean_import():
        assert not gc.isenabled()
        import mmdet  # noqa: F401
    assert gc.isenabled()
    assert 'mmdet' not in sys.modules


def test_what_is_imported_already_stays(as_at_start, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'mmdet', sys)
    finders = sys.meta_path.copy()
    gc.disable()
    try:
        with lean_import():
            import mmdet
            assert mmdet is sys
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert sys.modules['mmdet'] is sys
    assert sys.meta_path == finders
