"""The printed lines in transformers 5, which runs without mmpretrain only."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from conmim_mm.apis import export
from conmim_mm.formats.backbone import build_backbone
from conmim_mm.formats.source import read_source

from ..test_apis.test_export_backbone import CASES, save_backbone
from ..test_apis.test_export_backbone import build_backbone as tiny
from .foreign_models import MODELS, randomise, save

FOLDER = Path(sys.prefix, 'transformers5')  # tools/setup_env.sh full
SCRIPT = """
import sys
sys.modules['mmpretrain'] = None
import torch, transformers
assert transformers.__version__.startswith('5.'), transformers.__version__
for line, path in {cases!r}:
    scope = {{}}
    exec(line, scope)
    images = torch.load(path)
    with torch.no_grad():
        torch.save(scope['model'].eval()(images).last_hidden_state, path)
"""


@pytest.mark.filterwarnings('ignore:mean and deviation')  # which no file of timm tells
def test_same_tokens(tmp_path) -> None:
    assert FOLDER.is_dir(), f'{FOLDER} is missing; `make env-full` installs it'
    places = {name: save(randomise(MODELS[name]()), tmp_path / f'in {name}')
              for name in ('timm ViT', 'mmpretrain ViT', 'HF Dinov2Model')}
    for name, overrides in CASES.items():
        places[name] = tmp_path / f'{name}.pth'
        save_backbone(tiny(**overrides), places[name])
    cases, expected = [], []
    for name, place in places.items():
        num_heads = 2 if name in CASES else None
        line = export(place, tmp_path / name, 'transformers', num_heads=num_heads)
        source = read_source(place, num_heads=num_heads)
        backbone = build_backbone(source.weights, source.sizes)
        images = torch.randn(2, source.sizes.in_channels, *backbone.img_size)
        torch.save(images, tmp_path / f'{name}.pt')
        cases.append((line, str(tmp_path / f'{name}.pt')))
        with torch.no_grad():
            expected.append(backbone.forward_tokens(images))
    subprocess.run([sys.executable, '-c', SCRIPT.format(cases=cases)], check=True,
                   env=os.environ | dict(PYTHONPATH=str(FOLDER), HF_HUB_OFFLINE='1'))
    for (_, path), tokens in zip(cases, expected, strict=True):
        torch.testing.assert_close(torch.load(path), tokens, rtol=1e-4, atol=1e-4)
