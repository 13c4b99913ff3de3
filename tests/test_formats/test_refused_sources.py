"""What is no plain ViT, or no file of weights, ends in one line with the reason."""

import json
import socket
import sys
from functools import partial
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
import transformers
from mmpretrain.models import VisionTransformer
from timm.layers import SwiGLUPacked
from timm.models import vision_transformer

from conmim_mm.apis import export
from conmim_mm.errors import InputError
from conmim_mm.formats.source import read_source

from ..test_promises.test_untrusted_files import write_crafted
from .foreign_models import MM, MODELS, hf, randomise, save, timm_beit, timm_vit

pytestmark = pytest.mark.filterwarnings('ignore:.*assumed')

REFUSED = {
    'its MLP is a SwiGLU': [
        timm_vit(mlp_layer=SwiGLUPacked), timm_beit(swiglu_mlp=True),
        hf('Dinov2Model', use_swiglu_ffn=True),
        lambda: VisionTransformer(**MM | dict(layer_cfgs=dict(ffn_type='swiglu_fused')))],
    'it has registers': [timm_vit(reg_tokens=4), hf('Dinov2WithRegistersModel'),
                         hf('DINOv3ViTModel', num_register_tokens=2)],
    'its blocks are parallel': [
        timm_vit(block_fn=vision_transformer.ParallelThingsBlock),
        timm_vit(block_fn=vision_transformer.ParallelScalingBlock)],
    'qk-norm': [timm_vit(qk_norm=True)],
    'no class token': [timm_vit(class_token=False, global_pool='map')],
    'a distillation token': [hf('DeiTModel')],
    'its activation is quick_gelu': [hf('ViTModel', hidden_act='quick_gelu')],
    'no LayerNorm after the last block': [timm_vit(final_norm=False)],
    'patch_embed.norm': [timm_vit(embed_norm_layer=torch.nn.LayerNorm)],
    'attn.norm': [timm_vit(scale_attn_norm=True)],
    'no plain ViT': [partial(timm.create_model, 'resnet18'), partial(
        timm.create_model, 'swin_tiny_patch4_window7_224', depths=(1, 1, 1, 1))],
    'oblong': [timm_vit(img_size=(56, 42))],
}


@pytest.mark.parametrize(('reason', 'number'), [
    (reason, i) for reason, makers in REFUSED.items() for i in range(len(makers))])
def test_other_architectures(tmp_path, reason: str, number: int) -> None:
    model = REFUSED[reason][number]()
    if isinstance(model, transformers.PreTrainedModel | VisionTransformer):
        place = save(model, tmp_path / 'in')
    else:
        place = tmp_path / 'in.pth'
        torch.save(model.state_dict(), place)
    with pytest.raises(InputError, match=f'{tmp_path}.*{reason}') as info:
        read_source(place)
    assert '\n' not in str(info.value)


@pytest.mark.parametrize(('place', 'reason'), [
    ('timm:vit_base_patch16_rpn_224', 'its blocks normalise after attention'),
    ('timm:vit_small_patch16_18x2_224', 'its blocks are parallel'),
    ('timm:vit_base_patch16_clip_quickgelu_224', 'its activation is QuickGELU'),
    ('timm:eva02_tiny_patch14_224', 'RoPE'),
    ('timm:vit_small_patch14_reg4_dinov2', 'it has registers'),
    ('timm:deit_tiny_distilled_patch16_224', 'no plain ViT'),
    ('timm:resnet18', 'no plain ViT'),
    ('timm:resnet-18', 'has no model'),
    ('timm:vit_tiny_patch16_224.nonsense', 'nonsense'),
    ('timm:vit_small_patch16_36x1_224', 'has no weights'),
    ('mmpretrain:resnet18_8xb32_in1k', 'no plain ViT'),
    ('mmpretrain:nonsense', 'no such model'),
    ('hf:no/such/name', 'cannot be fetched'),
])
def test_names_are_refused_before_anything_is_fetched(place: str, reason: str,
                                                      monkeypatch) -> None:
    monkeypatch.setattr(socket, 'create_connection', None)
    with pytest.raises(InputError, match=f'{place}.*{reason}') as info:
        read_source(place)
    assert '\n' not in str(info.value)


@pytest.mark.parametrize(('place', 'how'), [
    ('timm:vit_tiny_patch16_224', "torch.save(timm.create_model('vit_tiny_patch16_224'"),
    ('hf:facebook/dinov2-small', 'hf download facebook/dinov2-small'),
    ('mmpretrain:beit_beit-base-p16_8xb256-amp-coslr-300e_in1k', 'cannot fetch https://'),
])
def test_out_of_reach(tmp_path, monkeypatch, place: str, how: str) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError('no network')

    monkeypatch.setattr(socket, 'getaddrinfo', unreachable)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path))
    with pytest.raises(InputError, match=f'{place} cannot be fetched') as info:
        read_source(place)
    assert how in str(info.value) and '\n' not in str(info.value)


@pytest.mark.parametrize('package', ['timm', 'huggingface_hub'])
def test_not_installed(monkeypatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    name = dict(timm='timm:vit_tiny_patch16_224', huggingface_hub='hf:facebook/dinov2-small')
    with pytest.raises(InputError, match=f'{package}.*pip install {package}.*a file'):
        read_source(name[package])


def test_names_come_through_the_librarys_cache(tmp_path, monkeypatch) -> None:
    model = randomise(timm_vit()())
    folder = save(model, tmp_path / 'timm')
    asked = []

    def snapshot_download(name: str, revision: str | None, **_: object) -> str:
        asked.append((name, revision))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, 'snapshot_download', snapshot_download)
    for place in ('hf:somebody/model@v2', 'timm:vit_tiny_patch16_224'):
        assert read_source(place, num_heads=3).weights['cls_token'].equal(model.cls_token)
    assert asked == [('somebody/model', 'v2'),
                     ('timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k', None)]


@pytest.fixture
def safetensors_file(tmp_path) -> Path:
    return save(MODELS['HF ViTModel'](), tmp_path / 'in') / 'model.safetensors'


def test_damaged_files(tmp_path, safetensors_file) -> None:
    whole = safetensors_file.read_bytes()
    safetensors_file.write_bytes(whole[:len(whole) // 2])
    with pytest.raises(InputError, match='model.safetensors is damaged'):
        read_source(safetensors_file)
    torch.save(MODELS['timm ViT']().state_dict(), tmp_path / 'a.pth')
    whole = (tmp_path / 'a.pth').read_bytes()
    (tmp_path / 'a.pth').write_bytes(whole[:len(whole) // 2])
    with pytest.raises(InputError, match='damaged'):
        read_source(tmp_path / 'a.pth')


def test_incomplete_weights(tmp_path) -> None:
    state = MODELS['timm ViT']().state_dict()
    del state['blocks.1.attn.qkv.bias']
    torch.save(state, tmp_path / 'a.pth')
    with pytest.raises(InputError, match='2 missing: blocks.1.attn.q_bias, blocks.1.attn.v_bias'):
        read_source(tmp_path / 'a.pth', num_heads=3)


@pytest.mark.parametrize(('key', 'shape'), [
    ('pos_embed', ()), ('cls_token', ()), ('blocks.0.attn.qkv.bias', (4,)),
    ('patch_embed.proj.weight', (48, 3, 14)), ('blocks.1.norm1.weight', (3,))])
def test_shapes_of_no_vit(tmp_path, key: str, shape: tuple[int, ...]) -> None:
    torch.save(MODELS['timm ViT']().state_dict() | {key: torch.ones(shape)}, tmp_path / 'a.pth')
    with pytest.raises(InputError, match=f'{tmp_path}/a.pth cannot become a backbone here'):
        read_source(tmp_path / 'a.pth', num_heads=3)


def test_files_beside_others(tmp_path, safetensors_file) -> None:
    index = dict(weight_map={'a': '../secret.safetensors'})
    safetensors_file.with_name('model.safetensors.index.json').write_text(json.dumps(index))
    with pytest.raises(InputError, match='names files that are not beside it'):
        read_source(safetensors_file.parent)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='no checkpoint in .*empty'):
        read_source(tmp_path / 'empty')


def test_runs_no_code(tmp_path) -> None:
    (tmp_path / 'in').mkdir()
    path = write_crafted(tmp_path, 'archive-system').rename(tmp_path / 'in' / 'pytorch_model.bin')
    with pytest.raises(InputError, match='could run code'):
        read_source(path.parent)
    assert not (tmp_path / 'executed').exists()


def test_nothing_is_half_written(tmp_path) -> None:
    torch.save(timm_vit(pre_norm=True)().state_dict(), tmp_path / 'clip.pth')
    for format_name in ('transformers', 'official'):
        with pytest.raises(InputError, match='LayerNorm before the blocks'):
            export(tmp_path / 'clip.pth', tmp_path / 'out.pth', format_name, num_heads=3)
    assert [path.name for path in tmp_path.iterdir()] == ['clip.pth']
