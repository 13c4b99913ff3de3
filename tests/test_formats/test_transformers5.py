"""The printed lines in transformers 5, which runs without mmpretrain only."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from conmim_mm.apis import export

from ..test_apis.test_export_backbone import CASES, build_backbone, save_backbone

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


def test_same_tokens(tmp_path) -> None:
    assert FOLDER.is_dir(), f'{FOLDER} is missing; `make env-full` installs it'
    cases, expected = [], []
    for name, overrides in CASES.items():
        backbone = build_backbone(**overrides)
        save_backbone(backbone, tmp_path / 'ckpt.pth')
        line = export(tmp_path / 'ckpt.pth', tmp_path / name, 'transformers', num_heads=2)
        images = torch.randn(2, backbone.patch_embed.proj.in_channels, *backbone.img_size)
        torch.save(images, tmp_path / f'{name}.pt')
        cases.append((line, str(tmp_path / f'{name}.pt')))
        with torch.no_grad():
            expected.append(backbone.forward_tokens(images))
    subprocess.run([sys.executable, '-c', SCRIPT.format(cases=cases)], check=True,
                   env=os.environ | dict(PYTHONPATH=str(FOLDER), HF_HUB_OFFLINE='1'))
    for (_, path), tokens in zip(cases, expected, strict=True):
        torch.testing.assert_close(torch.load(path), tokens, rtol=1e-4, atol=1e-4)
