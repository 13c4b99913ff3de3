"""Backbones of other libraries: in with the same tokens, and out again."""

import json
from argparse import Namespace

import pytest
import timm
import torch
import transformers
from mmengine.config import Config, DictAction
from mmpretrain.registry import MODELS as REGISTRY
from safetensors.torch import save_file

from conmim_mm.apis import export
from conmim_mm.errors import InputError
from conmim_mm.formats.facts import CLIP_MEAN, CLIP_STD, HALF
from conmim_mm.formats.source import BackboneSource, read_source
from conmim_mm.models import ConMIMViT
from conmim_mm.models.data_preprocessors.conmim_data_preprocessor import IMAGENET_MEAN

from ..test_apis.test_export_backbone import run_line, tokens_of
from ..toy import build_model, named_arch, random_inputs, visible_cfg
from .foreign_models import HEADS, MODELS, WIDTH, randomise, save, timm_vit, tokens

pytestmark = pytest.mark.filterwarnings('ignore:.*assumed')


def build(source: BackboneSource) -> ConMIMViT:
    """Strictly of what was read."""
    backbone = ConMIMViT(**source.settings)
    backbone.load_state_dict(source.weights)
    return backbone.eval()


@pytest.mark.parametrize('case', MODELS)
def test_same_tokens_in_and_out(tmp_path, monkeypatch, case: str) -> None:
    model = randomise(MODELS[case]())
    place = save(model, tmp_path / 'in')
    source = read_source(place)
    assert source.library == {'HF': 'transformers'}.get(case.split()[0], case.split()[0])
    assert source.settings['arch']['num_heads'] == HEADS
    backbone = build(source)
    images = torch.randn(2, 3, *backbone.img_size)
    with torch.no_grad():
        # in float64, as the order of float32's sums is the processor's
        torch.testing.assert_close(backbone.double().forward_tokens(images.double()),
                                   tokens(model.double(), images.double()), rtol=1e-5, atol=1e-5)
        backbone.float(), model.float()
        expected = tokens(model, images)
        for format_name in ('timm', 'transformers', 'official', 'mmpretrain'):
            if 'CLIP' in case and format_name in ('transformers', 'official'):
                continue  # which have none
            out = tmp_path / f'{format_name}.pth'
            line = export(place, out, format_name)
            again = build(read_source(out, num_heads=HEADS))
            torch.testing.assert_close(again.forward_tokens(images), expected, rtol=1e-4, atol=1e-4)
            if format_name != 'mmpretrain':
                theirs = run_line(line, monkeypatch)
                torch.testing.assert_close(tokens_of(theirs, images), expected, rtol=1e-4,
                                           atol=1e-4)


def original(pretraining: bool = False, **others: torch.Tensor) -> dict[str, torch.Tensor]:
    """Weights as BEiT's and ConMIM's own code names them, which is as timm does."""
    model = randomise(MODELS['timm BEiT, ' + ('shared table' if pretraining else 'own tables')]())
    state = model.state_dict() | {'blocks.0.attn.relative_position_index': torch.ones(2, 2).long()}
    if pretraining:
        del state['head.weight'], state['head.bias']
        state['mask_token'] = torch.randn(1, 1, WIDTH)
    return state | others


LM_HEAD = {'lm_head.weight': torch.ones(2)}
PROJECTORS = {'projectors.0.weight': torch.ones(2), 'projectors.1.num_batches_tracked':
              torch.tensor(3)}


@pytest.mark.parametrize(('checkpoint', 'library', 'mean', 'left_out'), [
    (dict(model=original(True, **LM_HEAD)), 'BEiT', HALF, ('lm_head',)),
    (dict(model=original(True, **LM_HEAD, **{'cls_pt_layers.0.norm1.weight': torch.ones(2)})),
     'BEiT', IMAGENET_MEAN, ('cls_pt_layers', 'lm_head')),
    (dict(module=original()), 'BEiT', HALF, ('head',)),
    (dict(model=original(), args=Namespace(imagenet_default_mean_and_std=True)), 'BEiT',
     IMAGENET_MEAN, ('head',)),
    (dict(model=original(True, **LM_HEAD, **PROJECTORS)), 'ConMIM', IMAGENET_MEAN, ('lm_head',)),
    (dict(model=original(True, **LM_HEAD, **PROJECTORS),
          args=Namespace(imagenet_default_mean_and_std=False)), 'ConMIM', HALF, ('lm_head',)),
])
def test_originals(tmp_path, checkpoint: dict, library: str, mean, left_out) -> None:
    torch.save(checkpoint, tmp_path / 'original.pth')
    source = read_source(tmp_path / 'original.pth')
    assert (source.library, source.mean, source.left_out) == (library, mean, left_out)
    assert ('mask_token' in source.weights) == ('lm_head' in left_out)
    assert (source.projector or {}).keys() == (
        {'layers.0.weight', 'layers.1.num_batches_tracked'} if library == 'ConMIM' else set())
    build(source)


def test_nested_checkpoints(tmp_path) -> None:
    """As DINO keeps teacher and student, and DINOv2 its blocks and mask token."""
    state = {f'backbone.{key}': value for key, value in MODELS['timm ViT']().state_dict().items()}
    nested = {key.replace('blocks.1.', 'blocks.0.1.').replace('blocks.0.norm', 'blocks.0.0.norm'):
              value for key, value in state.items()}
    student = {f'module.{key}': value + 1 for key, value in nested.items()}
    teacher = nested | {'head.mlp.0.weight': torch.ones(1), 'backbone.mask_token': torch.ones(
        1, WIDTH)}
    torch.save(dict(student=student, teacher=teacher, epoch=3), tmp_path / 'a.pth')
    for whose, offset in dict(teacher=0, student=1).items():
        source = read_source(tmp_path / 'a.pth', whose, num_heads=HEADS)
        torch.testing.assert_close(source.weights['cls_token'],
                                   state['backbone.cls_token'] + offset)
        assert ('mask_token' in source.weights) == (whose == 'teacher')
        assert ('head' in source.left_out) and build(source).num_layers == 2


def test_our_own(tmp_path, toy) -> None:
    for whose, prefix in dict(teacher='teacher.', student='').items():
        source = read_source(toy.out, whose)
        state = torch.load(toy.out / 'epoch_2.pth', weights_only=False)['state_dict']
        assert source.library == 'conmim_mm' and source.whose == whose
        assert source.weights['cls_token'].equal(state[f'{prefix}backbone.cls_token'])
        assert source.projector['layers.0.weight'].equal(state[f'{prefix}neck.layers.0.weight'])
        build(source)


def test_what_nothing_tells_is_guessed_and_said(tmp_path) -> None:
    model = randomise(timm_vit(embed_dim=128, num_heads=2, pre_norm=True)())
    torch.save(model.half().state_dict(), tmp_path / 'clip.pth')
    source = read_source(tmp_path / 'clip.pth')
    assert source.settings['arch']['num_heads'] == 2 and source.settings['norm_eps'] == 1e-5
    assert (source.mean, source.std) == (CLIP_MEAN, CLIP_STD)
    assert source.weights['cls_token'].dtype == torch.float32
    assert '2 attention heads assumed' in source.notes[0] and "CLIP's" in source.notes[2]
    assert 'QuickGELU' in source.notes[1]
    assert read_source(tmp_path / 'clip.pth', num_heads=8).settings['arch']['num_heads'] == 8


def test_normalisation_comes_with_the_source(tmp_path) -> None:
    place = save(MODELS['timm ViT'](), tmp_path / 'timm')
    assert read_source(place).mean == (25.5, 51., 76.5) and not read_source(place).notes
    place = save(MODELS['mmpretrain ViT'](), tmp_path / 'mm')
    assert (read_source(place).mean, read_source(place).std) == ((1, 2, 3), (4, 5, 6))
    place = save(MODELS['HF ViTModel'](), tmp_path / 'hf')
    transformers.ViTImageProcessor(image_std=[0.2, 0.4, 0.6]).save_pretrained(place)
    assert (read_source(place).mean, read_source(place).std) == (HALF, (51., 102., 153.))
    for format_name in ('transformers', 'official', 'mmpretrain'):
        export(place, tmp_path / f'{format_name}.pth', format_name)
        again = read_source(tmp_path / f'{format_name}.pth', num_heads=HEADS)
        assert again.std == (51., 102., 153.) and again.settings['norm_eps'] == 1e-12


def test_a_task_takes_it_with_the_options_that_are_printed(tmp_path) -> None:
    model = randomise(MODELS['HF ViTModel']())
    line = export(save(model, tmp_path / 'in'), tmp_path / 'out.pth', 'mmpretrain')
    cfg = Config(dict(model=dict(backbone=dict(
        type='ConMIMViT', arch=named_arch('b'), img_size=56, use_shared_rel_pos_bias=False,
        use_rel_pos_bias=True, init_cfg=dict(type='Pretrained')))))
    words = line.split()
    assert words.pop(0) == '--cfg-options'
    cfg.merge_from_dict({key: DictAction._parse_iterable(value)
                         for key, value in (word.split('=') for word in words)})
    backbone = REGISTRY.build(cfg.model.backbone)
    backbone.init_weights()
    images = torch.randn(2, 3, 56, 56)
    with torch.no_grad():
        torch.testing.assert_close(backbone.eval().forward_tokens(images),
                                   model(images).last_hidden_state, rtol=1e-4, atol=1e-4)
    cfg.model.backbone.norm_eps = 1e-6
    with pytest.raises(InputError, match='set model.backbone.norm_eps=1e-12'):
        REGISTRY.build(cfg.model.backbone).init_weights()


def test_other_image_sizes(tmp_path) -> None:
    model = randomise(MODELS['HF ViTModel']())
    backbone = build(read_source(save(model, tmp_path / 'in')))
    images = torch.randn(2, 3, 84, 42)
    with torch.no_grad():
        torch.testing.assert_close(
            backbone.forward_tokens(images),
            model(images, interpolate_pos_encoding=True).last_hidden_state, rtol=1e-5, atol=1e-5)


def test_in_parts_and_by_content(tmp_path) -> None:
    model = randomise(MODELS['HF ViTModel']())
    model.save_pretrained(tmp_path / 'parts', max_shard_size='50KB')
    assert (tmp_path / 'parts' / 'model.safetensors.index.json').exists()
    expected = read_source(tmp_path / 'parts').weights
    save(model, tmp_path / 'whole')
    (tmp_path / 'whole' / 'model.safetensors').rename(tmp_path / 'any name')
    torch.save(model.state_dict(), tmp_path / 'whole' / 'pytorch_model.bin')
    for place in (tmp_path / 'any name', tmp_path / 'whole',
                  tmp_path / 'whole' / 'pytorch_model.bin'):
        weights = read_source(place, num_heads=HEADS).weights
        assert all(weights[key].equal(value) for key, value in expected.items())


def test_a_step_of_conmim(tmp_path) -> None:
    place = save(randomise(timm_vit(embed_dim=24, num_heads=2)()), tmp_path / 'in')
    config = json.loads((place / 'config.json').read_text())
    config['model_args'] |= dict(embed_dim=24, num_heads=2)
    (place / 'config.json').write_text(json.dumps(config))
    source = read_source(place)
    cfg = visible_cfg()
    cfg['backbone'] = dict(type='ConMIMViT', **source.settings)
    model = build_model(cfg)
    model.backbone.load_state_dict(source.weights)
    model.teacher.backbone.load_state_dict(source.weights)
    inputs = random_inputs(size=(56, 56), patch=14)
    losses = model(inputs, mode='loss')
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    grads = {name: value.grad for name, value in model.backbone.named_parameters()}
    assert all(grad is not None and grad.isfinite().all() for grad in grads.values())
    assert grads['pos_embed'].abs().sum() > 0


@pytest.mark.parametrize('save_weights', [save_file, torch.save])
def test_a_file_of_an_architecture_that_is_named(save_weights, tmp_path) -> None:
    """What a bare file does not tell comes from timm's settings of the name."""
    model = timm.create_model('test_vit')
    file = tmp_path / 'weights.any'
    save_weights(model.state_dict(), file)
    source = read_source(f'timm:test_vit={file}')
    cfg = model.pretrained_cfg
    assert source.settings['arch']['num_heads'] == model.blocks[0].attn.num_heads
    assert source.mean == pytest.approx([255 * value for value in cfg['mean']])
    assert source.std == pytest.approx([255 * value for value in cfg['std']])
    assert source.notes == ()
    torch.testing.assert_close(source.weights['blocks.1.mlp.fc1.weight'],
                               model.state_dict()['blocks.1.mlp.fc1.weight'])
