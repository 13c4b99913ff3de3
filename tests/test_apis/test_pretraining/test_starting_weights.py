"""A pre-training that starts from weights: what goes into the config, and what comes out of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from run_comparison import run_differences
from torch import nn

from conmim_mm.apis import pretrain
from conmim_mm.apis.pretraining.plan import PretrainOptions, plan_run
from conmim_mm.apis.pretraining.recipe import look_up_pixels
from conmim_mm.apis.pretraining.starting_weights import nearest_arch, new_parts, start_from
from conmim_mm.checkpoint.reading import load_checkpoint_file, model_state, weights_below
from conmim_mm.formats.backbone import backbone_settings, read_sizes
from conmim_mm.formats.source import BackboneSource, read_source
from conmim_mm.models import ConMIMViT
from conmim_mm.utils.run_config import drop_hooks_switched_off, fit_to_machine, read_config
from conmim_mm.utils.shipped_files import recipe_file
from conmim_mm.utils.work_dir import last_checkpoint

from ...runs import stop_after
from ...toy import ARCH, backbone_cfg

MEAN, STD = (10., 20., 30.), (1., 2., 3.)


def source_of(**settings) -> BackboneSource:
    """A toy backbone as another library may have it: random weights, numbers of its own."""
    cfg = backbone_cfg(**settings)
    cfg.pop('type')
    vit = ConMIMViT(**cfg)
    state = {key: torch.randn_like(value) for key, value in vit.state_dict().items()}
    return BackboneSource(backbone_settings(read_sizes(state, 2)), state, MEAN, STD, 'elsewhere',
                          left_out=('lm_head', ), notes=('a guess', ))


def built(cfg: Config, content: dict, folder: Path) -> nn.Module:
    """The model as a run builds it, with the starting weights in their place."""
    init_default_scope('mmpretrain')
    (folder / 'init').mkdir()
    torch.save(content, folder / 'init' / 'backbone.pth')
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def assert_holds(module: nn.Module, expected: dict[str, torch.Tensor]) -> None:
    state = module.state_dict()
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(state[key], value, rtol=0, atol=0, msg=key)


def test_student_teacher_and_projector_are_the_runs(toy, tmp_path) -> None:
    """Of the teacher's weights, from a run of the same form."""
    plan = plan_run(PretrainOptions(data=toy.photos, init=str(toy.out), config=str(toy.config),
                                    out=tmp_path / 'new'))
    plan.write(tmp_path / 'new' / 'config.py')
    model = MODELS.build(read_config(str(tmp_path / 'new' / 'config.py')).model)
    model.init_weights()
    saved = model_state(load_checkpoint_file(last_checkpoint(toy.out)))
    for part in ('backbone', 'neck'):
        expected = weights_below(saved, f'teacher.{part}.')
        assert_holds(getattr(model, part), expected)
        assert_holds(getattr(model.teacher, part), expected)
    assert plan.lines['starts from'].endswith(
        '24 wide, 2 blocks, 2 heads, 48 in the MLPs, patches of 8')
    assert not plan.lines['starts anew'] and plan.lines['positions'] == 'one relative table'
    # as if it had been given
    assert plan.cfg.started_with.init == str(toy.out)


@pytest.mark.parametrize('whose', ['tokens', 'tokens and pixels'])
def test_decoder_and_projector_of_the_same_form_are_kept(tmp_path, whose: str) -> None:
    cfg = read_config(str(recipe_file('tiny', 'visible')))
    cfg.model.backbone.update(arch=ARCH, img_size=32, patch_size=8)
    cfg.model.decoder.update(embed_dims=24, num_heads=2)
    cfg.model.neck.update(in_channels=24, hid_channels=48, out_channels=24)
    if whose == 'tokens and pixels':
        look_up_pixels(cfg)
    run = MODELS.build(cfg.model)
    state = {key: torch.randn_like(value) if value.is_floating_point() else value
             for key, value in run.state_dict().items()}
    torch.save(dict(meta=dict(settings=dict(model=cfg.model.to_dict())), state_dict=state),
               tmp_path / 'run.pth')
    recipe = read_config(str(recipe_file('tiny', 'visible')))
    lines, content = start_from(recipe, read_source(tmp_path / 'run.pth'), tmp_path, img_size=48)
    model = built(recipe, content, tmp_path)
    assert_holds(model.decoder, weights_below(state, 'decoder.'))
    assert_holds(model.neck, {  # adapting looks tokens up alone
        key: value[:24] if key.startswith(('layers.6.', 'layers.7.running')) else value
        for key, value in weights_below(state, 'neck.').items()})
    assert not lines['starts anew'] and new_parts(recipe) == []


@pytest.mark.parametrize('settings, form, positions', [
    (dict(use_shared_rel_pos_bias=False, use_abs_pos_emb=True, use_mask_token=False), 'visible',
     'an absolute embedding'),
    (dict(use_shared_rel_pos_bias=False, use_abs_pos_emb=True, use_mask_token=False), 'paper',
     'an absolute embedding'),
    (dict(use_shared_rel_pos_bias=False, use_rel_pos_bias=True), 'visible',
     'a relative table per block'),
    (dict(out_type='avg_featmap', layer_scale_init_value=0., use_mask_token=False), 'visible',
     'one relative table')])
def test_any_vit_in_either_form(tmp_path, settings, form, positions) -> None:
    source, recipe = source_of(**settings), recipe_file('tiny', form)
    cfg = read_config(str(recipe))
    lines, content = start_from(cfg, source, tmp_path)
    model = built(cfg, content, tmp_path)
    expected = {key.replace('fc_norm', 'norm'): value for key, value in source.weights.items()}
    if form == 'visible':
        expected.pop('mask_token', None)
    else:
        expected['mask_token'] = torch.zeros(1, 1, 24)
    assert_holds(model.backbone, expected)
    assert_holds(model.teacher.backbone, expected)
    assert lines['positions'].startswith(positions)
    assert (lines['not taken'], lines['changed']) == ('lm_head', 'a guess')
    new = dict(visible='decoder, projector', paper='mask token, projector')
    assert lines['starts anew'] == new[form]
    # whatever the form, a position that the teacher sees must be no shortcut
    absolute = settings.get('use_abs_pos_emb', False)
    assert model.head.centre_positions is (absolute or form == 'visible')
    assert ('centre_positions' in lines['positions']) is absolute

    normalised = model.data_preprocessor.normalise(torch.full((1, 3, 32, 32), 40.))
    torch.testing.assert_close(normalised[0, :, 0, 0], torch.tensor([30., 10., 10 / 3]))
    views = dict(student_view=torch.randn(4, 3, 32, 32), teacher_view=torch.randn(4, 3, 32, 32))
    mask = torch.zeros(4, 16, dtype=torch.bool)
    mask[:, ::2] = True
    loss = model(views | dict(mask=mask), mode='loss')['loss']
    assert loss.isfinite()


def test_views_and_masks_have_the_sizes_of_the_weights(toy, tmp_path) -> None:
    plan = plan_run(PretrainOptions(data=toy.photos, init=str(toy.out), out=tmp_path / 'new'))
    view, mask, _ = plan.cfg.train_dataloader.dataset.pipeline
    assert view.size == mask.img_size == plan.cfg.model.backbone.img_size == 32
    assert (mask.patch_size, mask.block_size) == (8, 16)
    assert plan.lines['student'] == 'encodes the visible patches alone'
    # five patches are no whole number of blocks of two
    larger = plan_run(PretrainOptions(data=toy.photos, init=str(toy.out), img_size=40,
                                      out=tmp_path / 'new')).cfg
    view, mask, _ = larger.train_dataloader.dataset.pipeline
    assert view.size == mask.img_size == larger.model.backbone.img_size == 40
    assert (mask.patch_size, mask.block_size) == (8, 8)


def test_weights_of_timm(toy, tmp_path) -> None:
    """A file of its weights and nothing else; what is found is said, and what is guessed."""
    torch.save(timm.create_model('vit_tiny_patch16_224').state_dict(), tmp_path / 'timm.pth')
    plan = plan_run(PretrainOptions(data=toy.photos, init=str(tmp_path / 'timm.pth'),
                                    out=tmp_path / 'new', epochs=10))
    assert plan.lines['starts from'] == (
        'timm: 192 wide, 12 blocks, 3 heads, 768 in the MLPs, patches of 16')
    assert plan.lines['not taken'] == 'head'
    assert '3 attention heads assumed' in plan.lines['changed']
    assert plan.lines['starts anew'] == 'decoder, projector'
    # the recipe's for no GPU is 1e-3; new parts keep that
    assert plan.lines['learning rate'].startswith('0.001, warm-up 1 epochs')
    assert plan.lines['of the weights'] == '0.0001, 0.1 x that from scratch, which new parts have'
    assert plan.cfg.optim_wrapper.optimizer.lr == pytest.approx(1e-4)
    assert plan.cfg.param_scheduler.eta_min == pytest.approx(1e-6)


@pytest.mark.parametrize('config, lr, expected', [
    (False, None, {'backbone': 1e-4, 'decoder': 1e-3, 'neck': 1e-3}),
    (False, 2e-5, {'backbone': 2e-5, 'decoder': 1e-3, 'neck': 1e-3}),
    (True, None, {'backbone': 1e-4, 'neck': 1e-4})])  # its projector is there
def test_weights_that_are_there_move_slowly(toy, tmp_path, config, lr, expected) -> None:
    """After the warm-up, as far as a part's rate says."""
    cfg = plan_run(PretrainOptions(data=toy.photos, init=str(toy.out), lr=lr, epochs=10,
                                   config=str(toy.config) if config else None,
                                   out=tmp_path / 'new')).cfg
    cfg.model.backbone.init_cfg = None
    cfg.model.neck.init_cfg = None
    model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).param_groups
    rates = {id(param): group['lr'] for group in groups for param in group['params']}
    for name, param in model.named_parameters():
        if not name.startswith('teacher.') and param.requires_grad:
            assert rates[id(param)] == pytest.approx(expected[name.partition('.')[0]]), name


@pytest.mark.parametrize('width, arch', [
    (128, 'tiny'), (192, 'tiny'), (384, 's'), (768, 'b'), (1024, 'l'), (1408, 'l')])
def test_the_recipe_is_by_the_width(width: int, arch: str) -> None:
    source = source_of()
    settings = source.settings | dict(arch=source.settings['arch'] | dict(embed_dims=width))
    assert nearest_arch(replace(source, settings=settings)) == arch


def test_moves_and_goes_on_exactly(toy, tmp_path) -> None:
    """Stopped in the middle of an epoch; the weights lie in the run's folder, wherever that is."""
    options = dict(init=toy.out, epochs=2, batch_size=4, cfg_options={
        'train_dataloader.num_workers': 0, 'default_hooks.report': None})
    pretrain(toy.photos, tmp_path / 'whole', **options)
    plan = plan_run(PretrainOptions(data=toy.photos, out=tmp_path / 'cut', **options))
    plan.write(tmp_path / 'cut' / 'config.py')
    cfg = read_config(str(tmp_path / 'cut' / 'config.py'))
    fit_to_machine(cfg)
    drop_hooks_switched_off(cfg)
    stop_after(Runner.from_cfg(cfg), 3)
    moved = (tmp_path / 'cut').rename(tmp_path / 'moved')
    pretrain(out=moved, resume=True)
    assert run_differences(tmp_path / 'whole', moved) == []
    cfg = read_config(str(moved / 'config.py'))
    assert cfg.model.backbone.init_cfg.checkpoint == str(moved / 'init/backbone.pth')
    # what it started from is a source itself
    assert read_source(moved / 'init/backbone.pth').weights.keys() >= {'norm.weight', 'cls_token'}


@pytest.mark.parametrize('options, words', [
    (['--arch', 's'], 'give --init or --arch'),
    (['--cfg-options', 'model.backbone.patch_size=4'], '.patch_size is 4, but the weights of --init'
     ' need 8'),
    (['--cfg-options', 'model.backbone.arch.num_heads=4'], 'model.backbone.arch is'),
    (['--init', '{tmp}/none.pth'], 'no such checkpoint: {tmp}/none.pth'),
    (['--init', '{tmp}/short.pth'], 'short.pth is damaged'),
    (['--init', '{tmp}/resnet.pth'], 'is no plain ViT'),
    (['--img-size', '30'], 'not divisible by')])
def test_what_does_not_fit_leaves_nothing(toy, fails, tmp_path, options, words) -> None:
    (tmp_path / 'short.pth').write_bytes(last_checkpoint(toy.out).read_bytes()[:9999])
    torch.save({'layer1.weight': torch.zeros(2)}, tmp_path / 'resnet.pth')
    options = [option.format(tmp=tmp_path) for option in options]
    line = fails('pretrain', '--data', toy.photos, '--init', toy.out, '--out', tmp_path / 'new',
                 *options)
    assert words.format(tmp=tmp_path) in line
    assert not (tmp_path / 'new').exists()
