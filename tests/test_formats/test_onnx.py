"""ONNX graphs of the backbone: onnxruntime gives for any batch what PyTorch gives."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch

from conmim_mm.commands import main
from conmim_mm.formats import onnx_format
from conmim_mm.formats.backbone import build_backbone
from conmim_mm.formats.onnx_format import OnnxView
from conmim_mm.formats.source import read_source

from ..test_apis.test_export_backbone import NO_TABLES, save_backbone
from ..test_apis.test_export_backbone import build_backbone as tiny
from .foreign_models import MODELS, randomise, save


def outputs_of(backbone, output: str, images: torch.Tensor) -> list[torch.Tensor]:
    """What a graph is to give, taken from all tokens."""
    if output == 'featmap':
        backbone.out_type, backbone.out_indices = 'raw', [0, 2]
        return [tokens[:, 1:].transpose(1, 2).unflatten(2, backbone.grid_of(images))
                for tokens in backbone(images)]
    tokens = backbone.forward_tokens(images)
    return [tokens[:, 0] if output == 'cls' else backbone.fc_norm(tokens[:, 1:].mean(dim=1))]


@pytest.mark.parametrize('words, overrides', [
    ('--output featmap --blocks 0 -1 --img-size 40', {}),
    pytest.param('--output cls --img-size free', dict(use_abs_pos_emb=True),
                 marks=pytest.mark.slow),
    ('--output mean', dict(out_type='avg_featmap', in_channels=2)),
    ('--num-heads 2', NO_TABLES),
    ('', 'timm ViT'),
])
def test_any_batch(tmp_path, monkeypatch, capsys, words: str, overrides) -> None:
    monkeypatch.chdir(tmp_path)
    if overrides == 'timm ViT':
        place, mean = save(randomise(MODELS[overrides]()), tmp_path / 'in'), [.1, .2, .3]
    else:
        place, mean = tmp_path / 'ckpt.pth', (
            [0.5, 0.5] if 'in_channels' in overrides else [0.485, 0.456, 0.406])
        save_backbone(tiny(**overrides), place)
    main(['export', str(place), 'made/out.onnx', '--format', 'onnx', *words.split()])
    line = capsys.readouterr().out.splitlines()[-1]
    scope = {}
    exec(line, scope)
    session = scope['session']
    assert '# opset 18; differs from PyTorch by ' in line and float(line.split()[-1]) < 1e-4
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata['mean']) == mean and len(
        json.loads(metadata['std'])) == len(mean)

    source = read_source(place, num_heads=2 if '--num-heads' in words else None)
    backbone = build_backbone(source.weights, source.sizes, 40 if '40' in words else None)
    output = words.split()[1] if '--output' in words else 'mean'
    channels = backbone.patch_embed.proj.in_channels
    other = (48, 8) if 'free' in words else backbone.img_size
    for batch, size in ((1, backbone.img_size), (2, other), (5, other)):
        images = torch.randn(batch, channels, *size)
        with torch.no_grad():
            expected = outputs_of(backbone, output, images)
        found = session.run(None, {'images': images.numpy()})
        for ours, theirs in zip(expected, found, strict=True):
            torch.testing.assert_close(torch.from_numpy(theirs), ours, rtol=1e-4, atol=1e-4)
    names = [f'featmap_{i}' for i in (0, 2)] if output == 'featmap' else [f'{output}_token']
    assert [one.name for one in session.get_outputs()] == names
    assert [path.name for path in (tmp_path / 'made').iterdir()] == ['out.onnx']


def test_a_class_token_has_the_norm_of_pooled_tokens() -> None:
    backbone = tiny(out_type='avg_featmap').eval()
    token = OnnxView(backbone, 'cls')(torch.randn(2, 3, 32, 32))[0]
    normalised = (token - backbone.fc_norm.bias) / backbone.fc_norm.weight
    torch.testing.assert_close(normalised.std(dim=1, unbiased=False), torch.ones(2), atol=1e-3,
                               rtol=0)


def test_weights_too_large_for_one_file(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_format, 'MAX_FILE', 0)
    save_backbone(tiny(), tmp_path / 'ckpt.pth')
    target = tmp_path / 'made' / 'out.onnx'
    main(['export', str(tmp_path / 'ckpt.pth'), str(target), '--format', 'onnx'])
    assert {path.name for path in target.parent.iterdir()} == {'out.onnx', 'out.onnx.data'}
    import onnxruntime

    session = onnxruntime.InferenceSession(target)
    assert session.run(None, {'images': torch.zeros(2, 3, 32, 32).numpy()})[0].shape == (2, 24)


@pytest.fixture
def without_graph(monkeypatch) -> None:
    """No graph is made, which takes its time."""
    program = SimpleNamespace(model=SimpleNamespace(metadata_props={}),
                              save=lambda path, external_data: path.write_text('graph'))
    monkeypatch.setattr(onnx_format, '_export', lambda view, axes: program)


@pytest.mark.parametrize('difference', [1.1e-4, float('nan')])
def test_a_wrong_graph_is_not_written(tmp_path, monkeypatch, fails, without_graph,
                                      difference: float) -> None:
    monkeypatch.setattr(onnx_format, 'difference_from_pytorch', lambda *_: difference)
    save_backbone(tiny(), tmp_path / 'ckpt.pth')
    target = tmp_path / 'out.onnx'
    said = fails('export', tmp_path / 'ckpt.pth', target, '--format', 'onnx')
    assert f'differs from PyTorch by {difference:.1e}' in said
    assert [path.name for path in tmp_path.iterdir()] == ['ckpt.pth']


@pytest.mark.parametrize('words, reason', [
    ('out.pth --format onnx', 'must end in .onnx'),
    ('out.pth --format timm --output cls', 'go with --format onnx'),
    ('out.onnx --format onnx --blocks 1', '--blocks goes with --output featmap'),
    ('out.onnx --format onnx --output featmap --blocks 3', '--blocks has 3, but there are 3'),
    ('out.onnx --format onnx --img-size 30', 'img_size'),
    ('out.onnx --format onnx --img-size any', "or HEIGHT WIDTH, but is 'any'"),
    ('there.onnx --format onnx', 'there.onnx.data exists already'),
])
def test_wrong_arguments(tmp_path, monkeypatch, fails, words: str, reason: str) -> None:
    monkeypatch.chdir(tmp_path)
    save_backbone(tiny(), 'ckpt.pth')
    (tmp_path / 'there.onnx.data').touch()
    assert reason in fails('export', 'ckpt.pth', *words.split())
    assert {path.name for path in tmp_path.iterdir()} == {'ckpt.pth', 'there.onnx.data'}


@pytest.mark.parametrize('library', ['onnx', 'onnxruntime', 'onnxscript'])
def test_a_missing_library(tmp_path, monkeypatch, fails, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    said = fails('export', tmp_path / 'none.pth', tmp_path / 'out.onnx', '--format', 'onnx')
    assert 'pip install onnx onnxruntime onnxscript' in said
