import hashlib
import sys

import pytest
import torch

from conmim_mm.errors import InputError

from ..conftest import load_tool
from ..toy import build_model

tool = load_tool('model_converters/extract_backbone.py')


@pytest.fixture
def checkpoint(tmp_path):
    model = build_model()
    with torch.no_grad():
        model.teacher.backbone.cls_token.add_(1.)
    path = tmp_path / 'epoch_3.pth'
    torch.save(dict(meta=dict(epoch=3, iter=30, cfg='model = 1'), state_dict=model.state_dict(),
                    optimizer=dict(state={})), path)
    return path


@pytest.mark.parametrize('weights, prefix', [('teacher', 'teacher.backbone.'),
                                             ('student', 'backbone.')])
def test_extracts_whose_weights_are_asked_for(checkpoint, tmp_path, weights, prefix) -> None:
    target = tmp_path / 'new' / 'backbone.pth'
    tool.extract(checkpoint, target, weights)
    source = torch.load(checkpoint, weights_only=True)['state_dict']
    extracted = torch.load(target, weights_only=True)  # plain data only
    names = {key.removeprefix(prefix) for key in source if key.startswith(prefix)}
    assert set(extracted) == {'meta', 'state_dict'}
    assert {key.removeprefix('backbone.') for key in extracted['state_dict']} == names
    for name in names:
        assert extracted['state_dict'][f'backbone.{name}'].equal(source[prefix + name])
    assert target.stat().st_size < checkpoint.stat().st_size / 2
    meta = extracted['meta']
    assert meta['weights'] == weights and meta['source'] == 'epoch_3.pth'
    assert meta['source_sha256'] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert meta['pretraining'] == dict(epoch=3, iter=30, cfg='model = 1')


def test_teacher_is_the_default(checkpoint, tmp_path, monkeypatch, capsys) -> None:
    target = tmp_path / 'backbone.pth'
    monkeypatch.setattr(sys, 'argv', ['extract_backbone.py', str(checkpoint), str(target)])
    tool.run_tool(tool.main)
    assert "the teacher's backbone" in capsys.readouterr().out
    assert torch.load(target, weights_only=True)['meta']['weights'] == 'teacher'


def test_refuses_what_is_no_pretraining_checkpoint(checkpoint, tmp_path) -> None:
    target = tmp_path / 'backbone.pth'
    tool.extract(checkpoint, target)
    with pytest.raises(InputError, match='no pre-training checkpoint'):
        tool.extract(target, tmp_path / 'again.pth')
    with pytest.raises(InputError, match='no such checkpoint'):
        tool.extract(tmp_path / 'missing.pth', target)
    before = checkpoint.read_bytes()
    with pytest.raises(InputError, match='is the checkpoint itself'):
        tool.extract(checkpoint, checkpoint)
    assert checkpoint.read_bytes() == before
