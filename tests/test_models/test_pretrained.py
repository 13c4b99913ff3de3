import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import load_checkpoint
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS

from conmim_mm.errors import InputError
from conmim_mm.models.layers.rel_pos_bias import resize_table

from ..toy import ARCH, backbone_cfg, build_model

TABLE = 'rel_pos_bias.relative_position_bias_table'


@pytest.fixture
def pretrained():
    """A model after pre-training, as far as loading can tell: all weights differ."""
    model = build_model()
    with torch.no_grad():
        for param in model.parameters():
            param.add_(torch.randn_like(param) * 0.02)
    return model


@pytest.fixture
def checkpoint(pretrained, tmp_path):
    path = tmp_path / 'pretrained.pth'
    torch.save(dict(meta=dict(iter=7), state_dict=pretrained.state_dict()), path)
    return path


def task_backbone(checkpoint, weights: str | None = None, **overrides):
    init_cfg = dict(type='Pretrained', checkpoint=str(checkpoint))
    if weights:
        init_cfg['weights'] = weights
    settings = dict(use_mask_token=False, use_shared_rel_pos_bias=False, use_rel_pos_bias=True)
    vit = MODELS.build(backbone_cfg(**(settings | overrides), init_cfg=init_cfg))
    vit.init_weights()
    return vit.eval()


@pytest.mark.parametrize('weights', [None, 'teacher', 'student'])
def test_a_task_computes_what_pretraining_did(pretrained, checkpoint, weights) -> None:
    source = (pretrained.backbone if weights == 'student' else pretrained.teacher.backbone).eval()
    images = torch.randn(2, 3, 32, 32)
    vit = task_backbone(checkpoint, weights)
    torch.testing.assert_close(vit(images)[0], source(images)[0])
    for block in vit.blocks:
        assert block.attn.rel_pos_bias.relative_position_bias_table.equal(
            source.rel_pos_bias.relative_position_bias_table)
    tables = [block.attn.rel_pos_bias.relative_position_bias_table for block in vit.blocks]
    assert tables[0].data_ptr() != tables[1].data_ptr()


def test_tables_and_embeddings_of_another_size_are_resized(tmp_path) -> None:
    source = build_model(use_abs_pos_emb=True).teacher.backbone
    for param in (source.rel_pos_bias.relative_position_bias_table, source.pos_embed):
        torch.nn.init.normal_(param)
    path = tmp_path / 'backbone.pth'
    torch.save(dict(state_dict={f'backbone.{k}': v for k, v in source.state_dict().items()}), path)
    vit = task_backbone(path, use_abs_pos_emb=True, img_size=64)
    expected = resize_table(source.rel_pos_bias.relative_position_bias_table, (4, 4), (8, 8))
    torch.testing.assert_close(
        vit.blocks[1].attn.rel_pos_bias.relative_position_bias_table, expected)
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(vit(images)[0], source.eval()(images)[0])


def test_mean_pooling_has_a_norm_of_its_own(pretrained, checkpoint) -> None:
    vit = task_backbone(checkpoint, out_type='avg_featmap')
    assert vit.fc_norm.weight.equal(torch.ones(24)) and vit.fc_norm.bias.equal(torch.zeros(24))
    images = torch.randn(2, 3, 32, 32)
    source = pretrained.teacher.backbone.eval()
    tokens = source.forward_blocks(
        source.embed_patches(images), source.attention_patterns((4, 4)))[-1]
    expected = torch.nn.functional.layer_norm(tokens[:, 1:].mean(1), (24,), eps=1e-6)
    torch.testing.assert_close(vit(images)[0], expected)


def test_what_is_dropped_is_named_once(checkpoint, caplog) -> None:
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    task_backbone(checkpoint)
    logger.removeHandler(caplog.handler)
    lines = [record.message for record in caplog.records if 'mask_token' in record.message]
    assert len(lines) == 1
    assert 'not needed here: mask_token' in lines[0]
    assert 'shared relative position table copied to every block' in lines[0]


@pytest.mark.parametrize('overrides, words', [
    (dict(arch=dict(ARCH, num_layers=3)), '15 missing: blocks.2.'),
    (dict(arch=dict(ARCH, num_layers=1)), '15 unexpected: blocks.1.'),
    (dict(arch=dict(ARCH, feedforward_channels=40)), 'of another shape: blocks.0.mlp.fc1.weight '
     '(checkpoint (48, 24), model (40, 24))'),
    (dict(use_rel_pos_bias=False), f'1 unexpected: {TABLE}'),
    (dict(layer_scale_init_value=0), '4 unexpected: blocks.0.gamma_1'),
    (dict(img_size=(32, 64), patch_size=16), 'patch_embed.proj.weight'),
])
def test_less_than_all_stops(checkpoint, overrides: dict, words: str) -> None:
    with pytest.raises(InputError) as error:
        task_backbone(checkpoint, **overrides)
    assert words in str(error.value) and '\n' not in str(error.value)


def test_oblong_tables_are_not_guessed_at(tmp_path) -> None:
    source = build_model(img_size=(16, 32)).teacher.backbone
    path = tmp_path / 'oblong.pth'
    torch.save(source.state_dict(), path)
    assert task_backbone(path, img_size=(16, 32)).grid == (2, 4)
    with pytest.raises(InputError, match='of another shape'):
        task_backbone(path)


@pytest.mark.parametrize('init_cfg, words', [
    (dict(checkpoint='missing.pth'), 'no such checkpoint: missing.pth'),
    (dict(checkpoint=None), 'set model.backbone.init_cfg.checkpoint=PATH'),
    (dict(weights='both'), "but is 'both'"),
    (dict(prefix='neck.'), 'takes checkpoint and weights'),
    (dict(map_location='cpu'), 'takes checkpoint and weights'),
])
def test_bad_init_cfg(checkpoint, init_cfg: dict, words: str) -> None:
    settings = dict(type='Pretrained', checkpoint=str(checkpoint)) | init_cfg
    with pytest.raises(InputError) as error:
        MODELS.build(backbone_cfg(init_cfg=settings)).init_weights()
    assert words in str(error.value)


def test_checkpoint_without_teacher_says_so(pretrained, tmp_path) -> None:
    path = tmp_path / 'student_only.pth'
    torch.save(dict(state_dict={key: value for key, value in pretrained.state_dict().items()
                                if not key.startswith('teacher.')}), path)
    with pytest.raises(InputError, match='take weights=student'):
        task_backbone(path)
    task_backbone(path, weights='student')


def test_files_that_are_no_backbone(tmp_path) -> None:
    (tmp_path / 'text.pth').write_bytes(b'hello')
    with pytest.raises(InputError, match='is no checkpoint'):
        task_backbone(tmp_path / 'text.pth')
    torch.save(dict(state_dict={'layers.0.weight': torch.zeros(1)}), tmp_path / 'other.pth')
    with pytest.raises(InputError, match=r"no backbone in the checkpoint.*\['layers'\]"):
        task_backbone(tmp_path / 'other.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(InputError, match='holds a list'):
        task_backbone(tmp_path / 'list.pth')


class Sly:
    """Reaches for a builtin through the one getattr that MMEngine's record needs."""

    def __reduce__(self):
        from mmengine.logging import HistoryBuffer
        return getattr, (HistoryBuffer, '__init__')


def test_the_one_getattr_reaches_nothing_else(pretrained, tmp_path) -> None:
    """Plainer attacks are in test_untrusted_files.py."""
    path = tmp_path / 'evil.pth'
    torch.save(dict(state_dict=pretrained.state_dict(), meta=Sly()), path)
    with pytest.raises(InputError, match='cannot load .* as plain weights'):
        task_backbone(path)


def classifier(**backbone) -> ImageClassifier:
    return MODELS.build(dict(
        type='ImageClassifier',
        backbone=backbone_cfg(use_mask_token=False, out_type='avg_featmap', **backbone),
        head=dict(type='LinearClsHead', in_channels=24, num_classes=5)))


def test_openmmlabs_own_loader_is_stopped_too(checkpoint, tmp_path) -> None:
    """MMEngine's non-strict loading would only warn."""
    with pytest.raises(InputError, match='does not fit the backbone: .*fc_norm'):
        load_checkpoint(classifier(), str(checkpoint))
    trained = classifier()
    path = tmp_path / 'trained.pth'
    torch.save(dict(state_dict=trained.state_dict()), path)
    again = classifier()
    load_checkpoint(again, str(path))
    assert all(value.equal(again.state_dict()[key])
               for key, value in trained.state_dict().items())
    with pytest.raises(InputError, match='missing: blocks.2'):
        load_checkpoint(classifier(arch=dict(ARCH, num_layers=3)), str(path))


def test_the_teacher_guards_its_own_copy(pretrained) -> None:
    state = pretrained.state_dict()
    del state['teacher.backbone.cls_token']
    with pytest.raises(InputError, match='1 missing: cls_token'):
        build_model().load_state_dict(state, strict=False)


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


def test_positions_of_another_kind_start_where_they_say_nothing(checkpoint, pretrained) -> None:
    images = torch.randn(2, 3, 32, 32)
    vit = task_backbone(checkpoint, use_abs_pos_emb=True)
    assert not vit.pos_embed.any()
    torch.testing.assert_close(vit(images)[0], pretrained.teacher.backbone.eval()(images)[0])
