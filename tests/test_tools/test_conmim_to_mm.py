"""The converter, on weights with the original's names."""

import argparse

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS

from conmim_mm.errors import InputError

from ..conftest import GOLDEN, load_tool
from ..test_promises.test_parity import read_golden
from ..toy import build_model

convert = load_tool('model_converters/conmim_to_mm.py').convert


def original_weights(model) -> dict[str, torch.Tensor]:
    """What the original would save for this student."""
    weights = dict(model.backbone.state_dict())
    weights |= {key.replace('layers.', 'projectors.'): value
                for key, value in model.neck.state_dict().items()}
    # parts of its checkpoints that nothing uses
    return weights | {
        'lm_head.weight': torch.zeros(8, 24),
        'rel_pos_bias.relative_position_index': torch.zeros(17, 17, dtype=torch.long),
    }


def test_pretraining_checkpoint_loads_strictly(tmp_path) -> None:
    student, teacher, model = build_model(), build_model(), build_model()
    for name, part in dict(student=student, teacher=teacher).items():
        # as the original saves it: with its command line beside the weights
        torch.save(dict(model=original_weights(part), epoch=3, args=argparse.Namespace(lr=1.)),
                   tmp_path / f'{name}.pth')
    convert(tmp_path / 'student.pth', tmp_path / 'out' / 'mm.pth', tmp_path / 'teacher.pth')
    checkpoint = torch.load(tmp_path / 'out' / 'mm.pth', weights_only=True)
    model.load_state_dict(checkpoint['state_dict'])
    assert torch.equal(model.backbone.cls_token, student.backbone.cls_token)
    assert torch.equal(model.teacher.backbone.cls_token, teacher.backbone.cls_token)
    assert checkpoint['meta']['converted_from'] == 'student.pth'


def test_without_teacher_it_starts_as_the_student(tmp_path) -> None:
    student, model = build_model(), build_model()
    torch.save(dict(model=original_weights(student)), tmp_path / 'student.pth')
    convert(tmp_path / 'student.pth', tmp_path / 'mm.pth')
    model.load_state_dict(torch.load(tmp_path / 'mm.pth', weights_only=True)['state_dict'])
    for part in ('backbone', 'neck'):
        given = getattr(student, part).state_dict()
        for key, value in getattr(model.teacher, part).state_dict().items():
            assert torch.equal(value, given[key]), key


def golden_classifier() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The reference classifier's weights under the original's names, and its golden values."""
    pretrained = read_golden(GOLDEN / 'pretrain_shared_rel_pos.npz')[0]['teacher']
    arrays = {key: torch.from_numpy(value)
              for key, value in np.load(GOLDEN / 'finetune_classifier.npz').items()
              if value.dtype.kind == 'f'}
    weights = {key: value for key, value in pretrained.items()
               if not key.startswith(('projectors.', 'norm.', 'mask_token', 'rel_pos_bias.'))}
    table = pretrained['rel_pos_bias.relative_position_bias_table']
    for i in range(3):
        weights[f'blocks.{i}.attn.relative_position_bias_table'] = table.clone()
        weights[f'blocks.{i}.attn.relative_position_index'] = torch.zeros(17, 17)
    weights |= {key.removeprefix('classifier/'): value for key, value in arrays.items()
                if key.startswith('classifier/')}
    return weights, arrays


@pytest.mark.parametrize('key', ['model', 'module'])  # the latter under DeepSpeed
def test_classifier_gives_the_references_values(tmp_path, key) -> None:
    weights, golden = golden_classifier()
    torch.save({key: weights}, tmp_path / 'finetuned.pth')
    convert(tmp_path / 'finetuned.pth', tmp_path / 'mm.pth')
    classifier = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(
                type='ConMIMViT',
                arch=dict(embed_dims=48, num_layers=3, num_heads=4, feedforward_channels=192),
                img_size=64,
                patch_size=16,
                out_type='avg_featmap',
                use_shared_rel_pos_bias=False,
                use_rel_pos_bias=True),
            head=dict(type='LinearClsHead', num_classes=7, in_channels=48)))
    state_dict = torch.load(tmp_path / 'mm.pth', weights_only=True)['state_dict']
    classifier.load_state_dict(state_dict)
    classifier.eval()
    backbone, images = classifier.backbone, golden['image']

    def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)

    with torch.no_grad():
        for i, tokens in enumerate(backbone.forward_blocks(
                backbone.embed_patches(images),
                backbone.attention_patterns(backbone.grid_of(images)))):
            close(tokens, golden[f'tokens_after_block{i}'])
        close(backbone(images)[-1], golden['pooled_features'])
        close(classifier(images), golden['logits'])


def test_refuses_what_it_cannot_convert(tmp_path) -> None:
    missing = tmp_path / 'missing.pth'
    with pytest.raises(InputError, match='no such checkpoint'):
        convert(missing, tmp_path / 'mm.pth')
    torch.save(dict(model=dict(weight=torch.zeros(1))), tmp_path / 'other.pth')
    with pytest.raises(InputError, match='not a ConMIM pre-training checkpoint'):
        convert(tmp_path / 'other.pth', tmp_path / 'mm.pth')
    torch.save(dict(model=3), tmp_path / 'odd.pth')
    with pytest.raises(InputError, match='holds no weights, but model'):
        convert(tmp_path / 'odd.pth', tmp_path / 'mm.pth')
    (tmp_path / 'text.pth').write_text('not a checkpoint')
    with pytest.raises(InputError, match='is no checkpoint'):
        convert(tmp_path / 'text.pth', tmp_path / 'mm.pth')
    assert not (tmp_path / 'mm.pth').exists()


def test_teacher_of_a_classifier_is_refused(tmp_path) -> None:
    weights, _ = golden_classifier()
    torch.save(dict(model=weights), tmp_path / 'finetuned.pth')
    with pytest.raises(InputError, match='has no teacher'):
        convert(tmp_path / 'finetuned.pth', tmp_path / 'mm.pth', tmp_path / 'finetuned.pth')
