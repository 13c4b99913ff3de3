"""Exported backbones in the libraries they are for: nothing missing, the same tokens."""

import hashlib
import json
import sys
import warnings
from types import SimpleNamespace

import pytest
import timm
import torch
from conmim_to_mm import classifier_from_original
from mmpretrain.registry import MODELS
from timm.models.beit import Beit
from transformers import AutoImageProcessor, BeitModel, PreTrainedModel

from conmim_mm.apis import export, export_backbone
from conmim_mm.commands import main
from conmim_mm.errors import InputError
from conmim_mm.formats.backbone import read_sizes
from conmim_mm.formats.timm_format import timm_line, to_timm
from conmim_mm.models import ConMIMViT

from ..test_tools.test_conmim_to_mm import golden_classifier
from ..toy import model_cfg, named_arch

# Unlike any named model; the MLP is not four times as wide.
ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=60)
FORMATS = list(export_backbone.FORMAT_WRITERS)
OWN_TABLES = dict(use_shared_rel_pos_bias=False, use_rel_pos_bias=True)
NO_TABLES = dict(use_shared_rel_pos_bias=False, use_abs_pos_emb=True)
CASES = {
    'shared table': dict(use_mask_token=True),
    'own tables': OWN_TABLES,
    'both kinds of tables': dict(use_rel_pos_bias=True),
    'no layer scale': dict(layer_scale_init_value=None, **OWN_TABLES),
    'absolute embedding': dict(use_abs_pos_emb=True),
    'absolute embedding alone': NO_TABLES,
    'mean-pooled': dict(out_type='avg_featmap', **OWN_TABLES),
    'mean-pooled, shared table': dict(out_type='avg_featmap'),
    'other patches and channels': dict(img_size=20, patch_size=4, in_channels=2),
}


def randomise(model: torch.nn.Module) -> None:
    """Every parameter gets a value of its own, so that none can be missed or swapped unseen."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            scale = 1. if 'table' in name else .3
            value += scale * torch.randn_like(value)


def build_backbone(**overrides) -> ConMIMViT:
    backbone = ConMIMViT(**dict(arch=ARCH, img_size=32, patch_size=8) | overrides)
    randomise(backbone)
    return backbone.eval()


def save_backbone(backbone, path, **others) -> None:
    """As a trained classifier, segmentor or detector is saved, or an extracted backbone."""
    weights = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    torch.save(dict(meta=dict(), state_dict=weights | others), path)


def run_line(line: str, monkeypatch):
    """The model that a printed line makes."""
    original = SimpleNamespace(VisionTransformer=OriginalViT)
    monkeypatch.setitem(sys.modules, 'modeling_finetune', original)
    scope = {}
    exec(line, scope)
    return scope['model'].eval()


class OriginalViT(Beit):
    """Stands in for the original's class, which needs a timm of 2021.

    It is timm's BEiT with the original's argument names and, as there, the indices into the tables
    among the weights; they start wrong here, so that they must be loaded.
    """

    def __init__(self, qkv_bias: bool, norm_layer, use_mean_pooling: bool, **kwargs) -> None:
        assert qkv_bias
        super().__init__(
            norm_layer=norm_layer, global_pool='avg' if use_mean_pooling else '', **kwargs)
        for module in self.modules():
            if getattr(module, 'relative_position_index', None) is not None:
                module.relative_position_index.zero_()
                module._non_persistent_buffers_set.remove('relative_position_index')


def tokens_of(model, images: torch.Tensor) -> torch.Tensor:
    if isinstance(model, PreTrainedModel):
        return model(images).last_hidden_state
    return model.forward_features(images)


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('format_name', FORMATS)
def test_same_tokens(tmp_path, monkeypatch, format_name: str, case: str) -> None:
    backbone = build_backbone(**CASES[case])
    save_backbone(backbone, tmp_path / 'ckpt.pth', **{'head.fc.bias': torch.zeros(3)})
    target = tmp_path / 'made' / 'out.pth'
    num_heads = ARCH['num_heads'] if case == 'absolute embedding alone' else None
    line = export(tmp_path / 'ckpt.pth', target, format_name, num_heads=num_heads)

    model = run_line(line, monkeypatch)  # timm and the original load strictly
    channels = backbone.patch_embed.proj.in_channels
    images = torch.randn(2, channels, *backbone.img_size)
    with torch.no_grad():
        expected = backbone.forward_tokens(images)
        torch.testing.assert_close(tokens_of(model, images), expected, rtol=1e-4, atol=1e-4)
    assert list(target.parent.iterdir()) == [target]  # nothing half-written is left
    if format_name == 'transformers':
        is_beit = isinstance(model, BeitModel)
        _, report = type(model).from_pretrained(
            target, output_loading_info=True, **({} if is_beit else dict(add_pooling_layer=False)))
        assert not any(report.values()), report
        # BEiT has nothing but what the backbone has (no k bias); a ViT has k biases, but no scales
        count = sum(value.numel() for value in backbone.state_dict().values())
        extra = 0 if is_beit else (1 - 2) * sum(block.gamma_1.numel() for block in backbone.blocks)
        assert sum(value.numel() for value in model.parameters()) == count + extra


def test_a_norm_before_the_blocks(tmp_path, monkeypatch) -> None:
    """timm's patches have no bias then, but after training ours have one."""
    backbone = build_backbone(pre_norm=True, **NO_TABLES)
    save_backbone(backbone, tmp_path / 'ckpt.pth')
    line = export(tmp_path / 'ckpt.pth', tmp_path / 'out.pth', 'timm', num_heads=2)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(run_line(line, monkeypatch).forward_features(images),
                                   backbone.forward_tokens(images), rtol=1e-4, atol=1e-4)


def test_the_references_values(tmp_path, monkeypatch) -> None:
    # Not computed by this project: the original implementation's own features.
    weights, golden = golden_classifier()
    torch.save(dict(state_dict=classifier_from_original(weights)), tmp_path / 'ckpt.pth')
    for format_name in FORMATS:
        out = tmp_path / f'{format_name}.pth'
        line = export(tmp_path / 'ckpt.pth', out, format_name)
        with torch.no_grad():
            result = run_line(line, monkeypatch)(golden['image'])
        pooled = result.pooler_output if format_name == 'transformers' else result
        torch.testing.assert_close(pooled, golden['pooled_features'], rtol=1e-4, atol=1e-4)
    exported = torch.load(tmp_path / 'official.pth', weights_only=True)['model']
    assert exported.keys() == {key for key in weights if not key.startswith('head.')}


def test_transformers_masks_as_here(tmp_path) -> None:
    backbone = build_backbone(use_mask_token=True)
    save_backbone(backbone, tmp_path / 'ckpt.pth')
    export(tmp_path / 'ckpt.pth', tmp_path / 'out', 'transformers')
    images, mask = torch.randn(2, 3, 32, 32), torch.rand(2, 16) < .5
    model = BeitModel.from_pretrained(tmp_path / 'out').eval()
    with torch.no_grad():
        torch.testing.assert_close(
            model(images, bool_masked_pos=mask).last_hidden_state,
            backbone.forward_tokens(images, mask), rtol=1e-4, atol=1e-4)


def test_images_are_normalised_as_here(tmp_path, monkeypatch) -> None:
    # BEiT's own default in both libraries is mean and std 0.5.
    save_backbone(build_backbone(), tmp_path / 'ckpt.pth')
    line = export(tmp_path / 'ckpt.pth', tmp_path / 'out.pth', 'timm')
    export(tmp_path / 'ckpt.pth', tmp_path / 'out', 'transformers')
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    config = timm.data.resolve_model_data_config(run_line(line, monkeypatch))
    assert (config['mean'], config['std'], config['input_size']) == (mean, std, (3, 32, 32))

    processor = AutoImageProcessor.from_pretrained(tmp_path / 'out')
    image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    pixels = processor(image, return_tensors='pt')['pixel_values'][0]
    expected = (image / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(pixels, expected)


@pytest.mark.parametrize('weights', [None, 'teacher', 'student'])
def test_reads_a_whole_pretraining_checkpoint(tmp_path, monkeypatch, weights) -> None:
    model = MODELS.build(model_cfg())
    randomise(model)
    assert not torch.equal(model.teacher.backbone.cls_token, model.backbone.cls_token)
    torch.save(dict(meta=dict(), state_dict=model.state_dict()), tmp_path / 'epoch_1.pth')
    line = export(tmp_path / 'epoch_1.pth', tmp_path / 'out.pth', 'timm', weights=weights)

    backbone = (model if weights == 'student' else model.teacher).backbone.eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            run_line(line, monkeypatch)(images), backbone.forward_tokens(images),
            rtol=1e-4, atol=1e-4)


def test_extracted_weights_are_whose_they_are(tmp_path) -> None:
    torch.save(dict(state_dict=MODELS.build(model_cfg()).state_dict()), tmp_path / 'epoch_1.pth')
    line = export(tmp_path / 'epoch_1.pth', tmp_path / 'student.pth', 'mmpretrain',
                  weights='student')
    assert line.startswith(
        f'--cfg-options model.backbone.init_cfg.checkpoint={tmp_path}/student.pth ')
    assert ' model.backbone.arch.embed_dims=' in line and 'mean' not in line
    export(tmp_path / 'student.pth', tmp_path / 'out.pth', 'timm')
    with pytest.raises(InputError, match="holds the student's weights"):
        export(tmp_path / 'student.pth', tmp_path / 'other.pth', 'timm', weights='teacher')


@pytest.mark.parametrize(('arch', 'img_size', 'name', 'plain'), [
    ('b', 224, 'beit_base_patch16_224', True),
    ('b', 384, 'beit_base_patch16_384', True),
    ('l', 512, 'beit_large_patch16_512', True),
    ('s', 224, 'beit_base_patch16_224', False),
    ('b', 640, 'beit_base_patch16_224', False),
    ('b', 384, 'vit_base_patch16_384', True),
    ('l', 224, 'vit_large_patch16_224', True),
    ('b', 640, 'vit_base_patch16_224', False),
])
def test_timms_named_models(monkeypatch, arch: str, img_size: int, name: str, plain: bool) -> None:
    settings = {} if name.startswith('beit') else dict(NO_TABLES, layer_scale_init_value=None)
    with torch.device('meta'):
        weights = ConMIMViT(named_arch(arch), img_size=img_size, **settings).state_dict()
    sizes = read_sizes(weights, named_arch(arch)['num_heads'])
    create, called = timm.create_model, []

    def create_on_meta(model_name: str, checkpoint_path: str, **kwargs):
        called.append(model_name)
        with torch.device('meta'):
            return create(model_name, **kwargs)

    monkeypatch.setattr(timm, 'create_model', create_on_meta)
    model = run_line(timm_line(sizes, 'out.pth'), monkeypatch)
    assert called == [name]
    assert shapes(model.state_dict()) == shapes(to_timm(weights, sizes))
    with torch.device('meta'):
        named = create(name, num_classes=0, global_pool='')
    assert (shapes(named.state_dict()) == shapes(model.state_dict())) == plain


def shapes(weights: dict) -> dict:
    return {key: value.shape for key, value in weights.items()}


def test_prints_the_line(tmp_path, monkeypatch, capsys) -> None:
    save_backbone(build_backbone(**CASES['shared table']), tmp_path / 'ckpt.pth')
    main(['export', str(tmp_path / 'ckpt.pth'), str(tmp_path / 'out'), '--format', 'transformers'])
    assert isinstance(run_line(capsys.readouterr().out.splitlines()[-1], monkeypatch), BeitModel)
    assert len({path.stat().st_mode for path in (tmp_path / 'out').iterdir()}) == 1
    assert json.loads((tmp_path / 'out' / 'config.json').read_text())['layer_norm_eps'] == 1e-6


def without(key: str):
    def change(weights: dict) -> None:
        del weights[f'backbone.{key}']
    return change


def with_value(key: str, *shape: int):
    def change(weights: dict) -> None:
        weights[f'backbone.{key}'] = torch.zeros(shape)
    return change


@pytest.mark.parametrize(('overrides', 'change', 'reason'), [
    ({}, without('blocks.1.attn.v_bias'), '1 missing: blocks.1.attn.v_bias'),
    ({}, without('norm.weight'), '1 missing: norm.weight'),
    ({}, without('patch_embed.proj.weight'), 'not a ConMIMViT'),
    ({}, with_value('blocks.0.attn.k_bias', 24), '1 unexpected: blocks.0.attn.k_bias'),
    ({}, with_value('blocks.2.mlp.fc1.bias', 61), '1 of another shape: blocks.2.mlp.fc1.bias'),
    (dict(img_size=(32, 16)), None, 'no settings beside the weights tell height and width'),
    (NO_TABLES, None, 'give --num-heads to `conmim export ... --format mmpretrain`'),
    (dict(use_shared_rel_pos_bias=False), None, '--num-heads'),
])
def test_incomplete_or_unclear_weights(tmp_path, overrides, change, reason: str) -> None:
    save_backbone(build_backbone(**overrides), tmp_path / 'ckpt.pth')
    if change:
        checkpoint = torch.load(tmp_path / 'ckpt.pth')
        change(checkpoint['state_dict'])
        torch.save(checkpoint, tmp_path / 'ckpt.pth')
    with pytest.raises(InputError, match=reason):
        export(tmp_path / 'ckpt.pth', tmp_path / 'out.pth', 'timm')
    assert not (tmp_path / 'out.pth').exists()


def test_image_size_must_be_known(tmp_path) -> None:
    save_backbone(build_backbone(use_shared_rel_pos_bias=False), tmp_path / 'ckpt.pth')
    with pytest.raises(InputError, match='image size is unknown'):
        export(tmp_path / 'ckpt.pth', tmp_path / 'out.pth', 'timm', num_heads=2)


@pytest.mark.parametrize(('arguments', 'reason'), [
    (('missing.pth', 'new.pth', '--format', 'timm'), 'missing.pth'),
    (('text.pth', 'new.pth', '--format', 'timm'), 'text.pth'),
    (('ckpt.pth', 'text.pth', '--format', 'timm'), 'exists already'),
    (('ckpt.pth', 'text.pth/new.pth', '--format', 'timm'), 'cannot write'),
    (('ckpt.pth', 'new.safetensors', '--format', 'timm'), 'must end in .pth for --format timm'),
    (('ckpt.pth', 'new.pth', '--format', 'timm', '--num-heads', '3'), 'contradicts'),
    (('ckpt.pth', 'new.pth', '--format', 'timm', '--num-heads', 'two'), 'two'),
])
def test_wrong_arguments(tmp_path, monkeypatch, capsys, arguments, reason: str) -> None:
    monkeypatch.chdir(tmp_path)
    save_backbone(build_backbone(), 'ckpt.pth')
    (tmp_path / 'text.pth').write_text('text')
    with pytest.raises(SystemExit) as exit_info:
        main(['export', *arguments])
    assert exit_info.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert 'error: ' in lines[-1] and reason in lines[-1]
    assert len(lines) == 1 or lines[0].startswith('usage:')  # what argparse refuses
    assert sorted(path.name for path in tmp_path.iterdir()) == ['ckpt.pth', 'text.pth']
    assert (tmp_path / 'text.pth').read_text() == 'text'


def test_says_that_windows_are_lost(tmp_path, recwarn) -> None:
    warnings.simplefilter('always')  # not once for each place
    save_backbone(build_backbone(), tmp_path / 'ckpt.pth')
    checkpoint = torch.load(tmp_path / 'ckpt.pth')
    for number, (blocks, warned) in enumerate([((0, 1), True), ([2], True), ([], False)]):
        checkpoint['meta']['settings'] = dict(model=dict(backbone=dict(window_blocks=blocks)))
        torch.save(checkpoint, tmp_path / 'ckpt.pth')
        export(tmp_path / 'ckpt.pth', tmp_path / f'{number}.pth', 'timm')
        said = [str(warning.message) for warning in recwarn.list]
        assert any('attention windows' in text for text in said) == warned
        recwarn.clear()
    checkpoint['meta'] = dict(cfg='import os')  # which nobody runs
    torch.save(checkpoint, tmp_path / 'ckpt.pth')
    export(tmp_path / 'ckpt.pth', tmp_path / 'other.pth', 'timm')


@pytest.mark.parametrize('weights, prefix', [('teacher', 'teacher.backbone.'),
                                             ('student', 'backbone.')])
def test_the_small_file_says_where_it_comes_from(tmp_path, weights: str, prefix: str) -> None:
    model = MODELS.build(model_cfg())
    randomise(model)
    checkpoint, target = tmp_path / 'epoch_3.pth', tmp_path / 'new' / 'backbone.pth'
    torch.save(dict(meta=dict(epoch=3, iter=30, cfg='model = 1'), state_dict=model.state_dict(),
                    optimizer=dict(state={})), checkpoint)
    export(checkpoint, target, 'mmpretrain', weights=weights)
    source = model.state_dict()
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

    export(target, tmp_path / 'again.pth', 'mmpretrain')
    again = torch.load(tmp_path / 'again.pth', weights_only=True)['state_dict']
    assert all(again[key].equal(value) for key, value in extracted['state_dict'].items())
    before = checkpoint.read_bytes()
    with pytest.raises(InputError, match='exists already'):
        export(checkpoint, checkpoint, 'mmpretrain')
    assert checkpoint.read_bytes() == before


def test_an_unknown_format(tmp_path) -> None:
    with pytest.raises(InputError, match="format must be one of .*, but is 'tflite'"):
        export(tmp_path / 'ckpt.pth', tmp_path / 'out.pth', 'tflite')
