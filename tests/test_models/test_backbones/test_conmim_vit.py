import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS

from conmim_mm.errors import InputError
from conmim_mm.models.backbones.conmim_vit import ConMIMViT
from conmim_mm.models.layers.attention_patterns import FullAttention
from conmim_mm.models.layers.embedding import resize_pos_embed, sincos_pos_embed
from conmim_mm.models.layers.rel_pos_bias import bias_matrix, resize_table, sloping_table

from ...toy import (
    ARCH,
    IMG_SIZE,
    NUM_PATCHES,
    PATCH_SIZE,
    backbone_cfg,
    named_arch,
    random_inputs,
)


def build(**overrides) -> ConMIMViT:
    vit = MODELS.build(backbone_cfg(**overrides))
    vit.init_weights()
    return vit


def count_parameters(module: torch.nn.Module) -> int:
    return sum(param.numel() for param in module.parameters())


def reference_parameters(width: int, depth: int, heads: int, patches_per_side: int = 14) -> int:
    """BEiT's ViT with mask token and shared relative position table, counted by hand."""
    patch_embed = 3 * 16 * 16 * width + width
    tokens = 2 * width
    table = ((2 * patches_per_side - 1)**2 + 3) * heads
    attention = 3 * width * width + 2 * width + width * width + width
    mlp = 2 * 4 * width * width + 4 * width + width
    norms_and_scales = 2 * 2 * width + 2 * width
    return patch_embed + tokens + table + depth * (attention + mlp + norms_and_scales) + 2 * width


@pytest.mark.parametrize('size, sizes', [('s', (384, 12, 6)), ('b', (768, 12, 12)),
                                         ('l', (1024, 24, 16))])
def test_parameter_count_is_the_references(size: str, sizes: tuple[int, int, int]) -> None:
    with torch.device('meta'):
        vit = ConMIMViT(named_arch(size), use_mask_token=True)
    assert count_parameters(vit) == reference_parameters(*sizes)


def test_base_has_85_666_128_parameters() -> None:
    assert reference_parameters(768, 12, 12) == 85_666_128


def test_forward_shapes_by_out_type() -> None:
    images = torch.randn(2, 3, IMG_SIZE, IMG_SIZE)
    shapes = dict(raw=(2, 1 + NUM_PATCHES, 24), cls_token=(2, 24), featmap=(2, 24, 4, 4),
                  avg_featmap=(2, 24))
    for out_type, shape in shapes.items():
        outputs = build(out_type=out_type, out_indices=[0, -1])(images)
        assert [tuple(output.shape) for output in outputs] == [shape, shape]


def test_featmap_keeps_patches_in_place() -> None:
    vit = build(out_type='featmap', img_size=(16, 32))
    images = torch.randn(1, 3, 16, 32)
    featmap, = vit(images)
    assert featmap.shape == (1, 24, 2, 4)
    torch.testing.assert_close(featmap.flatten(2).transpose(1, 2),
                               vit.forward_tokens(images)[:, 1:])


def test_raw_output_of_the_last_block_is_normalised_tokens() -> None:
    vit = build()
    images = torch.randn(2, 3, IMG_SIZE, IMG_SIZE)
    torch.testing.assert_close(vit(images)[0], vit.forward_tokens(images))


def test_masked_patches_do_not_enter() -> None:
    vit = build().eval()
    images = torch.randn(1, 3, IMG_SIZE, IMG_SIZE)
    mask = torch.zeros(1, NUM_PATCHES, dtype=torch.bool)
    mask[0, 0] = True
    before = vit.forward_tokens(images, mask)
    images[..., :PATCH_SIZE, :PATCH_SIZE] = 100.
    torch.testing.assert_close(vit.forward_tokens(images, mask), before, rtol=0, atol=0)
    assert not torch.allclose(vit.forward_tokens(images), before)


def test_no_layer_scale_and_both_embeddings() -> None:
    vit = build(layer_scale_init_value=0, use_abs_pos_emb=True, use_rel_pos_bias=True)
    names = {name for name, _ in vit.named_parameters()}
    assert not any('gamma' in name for name in names)
    assert {'pos_embed', 'rel_pos_bias.relative_position_bias_table',
            'blocks.1.attn.rel_pos_bias.relative_position_bias_table'} <= names


def test_initialisation_is_the_originals() -> None:
    vit = ConMIMViT(arch=dict(ARCH, embed_dims=128, feedforward_channels=512), img_size=32,
                    patch_size=8, use_mask_token=True, use_abs_pos_emb=True)
    vit.init_weights()
    # A normal of std 0.02 cut at one std has a std of 0.0108.
    for weight in (vit.blocks[1].attn.qkv.weight, vit.patch_embed.proj.weight, vit.pos_embed):
        assert weight.abs().max() <= 0.02
        assert weight.std().item() == pytest.approx(0.0108, rel=0.05)
    for depth, block in enumerate(vit.blocks, start=1):
        for weight in (block.attn.proj.weight, block.mlp.fc2.weight):
            assert weight.std().item() == pytest.approx(0.0108 / (2 * depth)**0.5, rel=0.05)
    assert torch.all(vit.rel_pos_bias.relative_position_bias_table == 0)
    assert torch.all(vit.blocks[0].gamma_1 == 0.1)
    assert vit.mask_token.abs().sum() > 0


def test_sloping_tables_for_all_blocks_and_for_each() -> None:
    vit = build(use_rel_pos_bias=True, rel_pos_init_slope=2.)
    vit.init_weights()
    tables = [bias.relative_position_bias_table for bias in (
        vit.rel_pos_bias, *(block.attn.rel_pos_bias for block in vit.blocks))]
    assert len(tables) == 1 + vit.num_layers
    for table in tables:
        torch.testing.assert_close(table, sloping_table(vit.grid, vit.num_heads, 2.))
        assert table.min() < -2.


def test_drop_path_rises_linearly() -> None:
    vit = build(drop_path_rate=0.2, arch=dict(ARCH, num_layers=3))
    rates = [getattr(block.drop_path, 'drop_prob', 0.) for block in vit.blocks]
    assert rates == pytest.approx([0., 0.1, 0.2])


def test_residual_stream_stays_float32_in_mixed_precision() -> None:
    vit = build()
    mask = torch.ones(2, NUM_PATCHES, dtype=torch.bool)
    with torch.autocast('cpu', torch.bfloat16):
        for given in (None, mask):
            tokens = vit.embed_patches(torch.randn(2, 3, IMG_SIZE, IMG_SIZE), given)
            assert tokens.dtype == torch.float32


@pytest.mark.parametrize('settings, words', [
    (dict(arch='huge'), "arch must be a dict with exactly the keys ['embed_dims', 'feedforward_"
     "channels', 'num_heads', 'num_layers'], but is 'huge'"),
    (dict(arch=dict(ARCH, depth=3)), "exactly the keys ['embed_dims', 'feedforward_channels', "
     "'num_heads', 'num_layers'], but has ['depth', 'embed_dims', "),
    (dict(arch=dict(embed_dims=24)), "but has ['embed_dims']"),
    (dict(arch=dict(ARCH, num_heads=5)), 'not divisible by num_heads=5'),
    (dict(img_size=30), 'img_size=30x30 (height x width) is not divisible by patch_size=8'),
    (dict(img_size=(32, 30)), 'not divisible by patch_size=8'),
    (dict(img_size=0), 'positive'),
    (dict(patch_size=0), 'patch_size must be a positive int'),
    (dict(out_type='tokens'), 'unknown out_type'),
    (dict(out_indices=2), 'out_indices has 2, but there are 2 blocks'),
    (dict(window_size=2, window_blocks=[2]), 'window_blocks has 2, but there are 2 blocks'),
    (dict(window_blocks=[0]), 'window_blocks need a window_size'),
    (dict(frozen_stages=3), 'frozen_stages=3 is not between -1 and the 2 blocks'),
])
def test_bad_settings(settings: dict, words: str) -> None:
    with pytest.raises(InputError) as error:
        build(**settings)
    assert words in str(error.value)


def test_bad_inputs() -> None:
    images = torch.randn(1, 3, IMG_SIZE, IMG_SIZE)
    with pytest.raises(InputError, match='the images have 2 channels, and the backbone 3: set its'):
        build().forward_tokens(images[:, :2])
    with pytest.raises(InputError, match='the mask is'):
        build().forward_tokens(images, torch.ones(1, 9, dtype=torch.bool))
    with pytest.raises(InputError, match='use_mask_token=True'):
        build(use_mask_token=False).forward_tokens(
            images, torch.ones(1, NUM_PATCHES, dtype=torch.bool))


def randomise(vit: ConMIMViT) -> ConMIMViT:
    """Tables that matter: their start at zero would hide every mistake."""
    for name, param in vit.named_parameters():
        if 'relative_position_bias_table' in name or name == 'pos_embed':
            torch.nn.init.normal_(param)
    return vit


@pytest.mark.parametrize('size', [(64, 32), (24, 48), (40, 56)])
def test_any_size_at_run_time_equals_a_backbone_of_that_size(size: tuple[int, int]) -> None:
    settings = dict(use_rel_pos_bias=True, use_abs_pos_emb=True, out_type='featmap')
    vit = randomise(build(**settings)).eval()
    native = build(**settings, img_size=size).eval()
    weights = vit.state_dict()
    for name in weights:
        if 'relative_position_bias_table' in name:
            weights[name] = resize_table(weights[name], (4, 4), native.grid)
    weights['pos_embed'] = resize_pos_embed(weights['pos_embed'], (4, 4), native.grid)
    native.load_state_dict(weights)
    images = torch.randn(2, 3, *size)
    expected, = native(images)
    assert expected.shape[-2:] == native.grid
    torch.testing.assert_close(vit(images)[0], expected)


def test_sizes_may_alternate() -> None:
    vit = randomise(build()).eval()
    small, large = torch.randn(1, 3, 32, 32), torch.randn(1, 3, 48, 80)
    first = [vit(images)[0] for images in (small, large)]
    again = [vit(images)[0] for images in (small, large)]
    for before, after in zip(first, again, strict=True):
        torch.testing.assert_close(before, after, rtol=0, atol=0)


def test_learning_shows_at_every_size() -> None:
    """Nothing kept per size may hold old tables."""
    vit = randomise(build()).eval()
    images = torch.randn(1, 3, 48, 80)
    before = vit(images)[0]
    with torch.no_grad():
        vit.rel_pos_bias.relative_position_bias_table += torch.randn(52, 2)
    assert not torch.allclose(vit(images)[0], before)


def test_sides_that_do_not_divide_are_filled_up() -> None:
    vit = randomise(build(out_type='featmap')).eval()
    images = torch.randn(1, 3, 37, 50)
    featmap, = vit(images)
    assert featmap.shape == (1, 24, 5, 7)
    torch.testing.assert_close(vit(torch.nn.functional.pad(images, (0, 6, 0, 3)))[0], featmap)


def test_gradients_reach_the_table_through_its_resizing() -> None:
    vit = build()
    vit(torch.randn(1, 3, 48, 48))[0].pow(2).mean().backward()
    grad = vit.rel_pos_bias.relative_position_bias_table.grad
    assert grad.shape == (52, 2) and (grad != 0).all()


def test_activation_checkpointing_changes_nothing() -> None:
    settings = dict(use_rel_pos_bias=True, window_size=3, window_blocks=[0])
    plain = randomise(build(**settings))
    thrifty = build(**settings, with_cp=True)
    thrifty.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 32, 32)
    for vit in (plain, thrifty):
        vit(images)[0].pow(2).sum().backward()
    for (name, a), (_, b) in zip(plain.named_parameters(), thrifty.named_parameters(),
                                 strict=True):
        if name != 'mask_token':
            torch.testing.assert_close(a.grad, b.grad, msg=name)


def test_windowed_blocks_keep_windows_apart() -> None:
    settings = dict(window_size=2, window_blocks=[0, 1], layer_scale_init_value=1.)
    vit = randomise(build(**settings, out_type='featmap')).eval()
    torch.nn.init.zeros_(vit.cls_token)
    images = torch.randn(1, 3, 32, 32)
    images.requires_grad_()
    vit.blocks[1].forward = lambda x, pattern: x
    vit(images)[0][0, :, 0, 0].sum().backward()
    reached = images.grad.abs().sum(dim=(0, 1)) > 0
    assert reached[:16, :16].all() and not reached[16:].any() and not reached[:, 16:].any()


@pytest.mark.parametrize('stages, free', [
    (-1, {'cls_token', 'patch_embed', 'rel_pos_bias', 'blocks.0', 'blocks.1', 'norm'}),
    (0, {'blocks.0', 'blocks.1', 'norm'}),
    (1, {'blocks.1', 'norm'}),
    (2, set()),
])
def test_frozen_stages(stages: int, free: set[str]) -> None:
    vit = build(frozen_stages=stages, drop_path_rate=0.5, use_mask_token=False).train()
    trained = {name for name, param in vit.named_parameters() if param.requires_grad}
    parts = {'.'.join(name.split('.')[:2 if name.startswith('blocks') else 1]) for name in trained}
    assert parts == free
    assert [block.training for block in vit.blocks] == [i >= stages for i in range(2)]


@pytest.mark.parametrize('tables', [
    dict(), dict(use_shared_rel_pos_bias=False, use_rel_pos_bias=True),
    dict(use_shared_rel_pos_bias=False, use_sincos_pos_emb=True)], ids=['shared', 'own', 'sincos'])
def test_visible_tokens_are_those_of_attention_that_sees_no_hole(tables: dict) -> None:
    vit = randomise(build(use_mask_token=False, **tables))
    inputs = random_inputs()
    images, mask = inputs['student_view'], inputs['mask']
    hidden = F.pad(mask, (1, 0))[:, None, None].expand(-1, -1, 1 + NUM_PATCHES, -1)

    def without_holes(pattern: FullAttention):
        def attend(q, k, v, own):
            bias = pattern.shared if own is None else bias_matrix(own((4, 4)), (4, 4))
            bias = torch.zeros(()) if bias is None else bias
            return F.scaled_dot_product_attention(
                q, k, v, attn_mask=torch.where(hidden, -torch.inf, bias))
        return attend

    patterns = [without_holes(pattern) for pattern in vit.attention_patterns((4, 4))]
    whole = vit.norm(vit.forward_blocks(vit.embed_patches(images), patterns)[-1])
    found = vit.forward_visible(images, mask)
    for i in range(len(images)):
        shown = F.pad(~mask[i], (1, 0), value=True)
        torch.testing.assert_close(found[i], whole[i, shown], rtol=1e-4, atol=1e-5)


def test_the_fixed_embedding_does_not_learn_and_windows_do_not_go_with_holes() -> None:
    vit = build(use_shared_rel_pos_bias=False, use_sincos_pos_emb=True)
    vit.init_weights()
    assert not vit.pos_embed.requires_grad and not vit.pos_embed[:, 0].any()
    torch.testing.assert_close(vit.pos_embed[:, 1:], sincos_pos_embed((4, 4), 24))
    inputs = random_inputs()
    with pytest.raises(InputError, match='window_blocks'):
        build(window_size=2, window_blocks=[0]).forward_visible(
            inputs['student_view'], inputs['mask'])
