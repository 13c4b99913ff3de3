import pytest
import torch
from mmpretrain.registry import MODELS

from conmim_mm.errors import InputError


def test_heads_are_loaded_strictly(tmp_path) -> None:
    path = tmp_path / 'trained.pth'
    weights = {'head.fc.weight': torch.randn(5, 24), 'head.fc.bias': torch.randn(5)}
    torch.save(dict(state_dict=weights | {'backbone.norm.bias': torch.zeros(24)}), path)

    def head(num_classes: int, checkpoint: str = str(path)):
        init_cfg = dict(type='StrictPretrained', checkpoint=checkpoint, prefix='head.')
        built = MODELS.build(dict(type='LinearClsHead', in_channels=24, num_classes=num_classes,
                                  init_cfg=init_cfg))
        built.init_weights()
        return built

    assert head(5).fc.weight.equal(weights['head.fc.weight'])
    with pytest.raises(InputError, match=r'does not fit the LinearClsHead \(head.\*\): 2 of ano'):
        head(7)
    with pytest.raises(InputError, match='no such checkpoint'):
        head(5, 'missing.pth')
