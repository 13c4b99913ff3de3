"""What holds of the paper's form holds of the student of visible patches."""

import logging
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from run_comparison import run_differences

from conmim_mm.apis import export
from conmim_mm.apis.backbone import frozen_backbone
from conmim_mm.errors import InputError
from conmim_mm.visualization.look_up import look_up

from ..runs import resumable_cfg, stop_after
from ..toy import (
    backbone_cfg,
    build_model,
    model_cfg,
    random_inputs,
    run_cfg,
    tokens_and_pixels_cfg,
    visible_cfg,
)


def build(images: Path, work_dir: Path, wrapper: dict, masks: int, **options) -> Runner:
    cfg = resumable_cfg(images, work_dir, **options)
    cfg['model'] = visible_cfg(drop_path_rate=0.3) | dict(decoded_share=0.5)
    cfg['optim_wrapper'] |= wrapper
    cfg['train_dataloader']['dataset']['pipeline'][2]['num_masks'] = masks
    return Runner.from_cfg(cfg)


@pytest.mark.parametrize('wrapper, masks, accumulate', [
    (dict(), 1, 2),
    (dict(type='ConMIMAmpOptimWrapper', dtype='bfloat16'), 1, 1),
    (dict(type='ConMIMAmpOptimWrapper', dtype='float16', loss_scale=4.), 2, 1)],
    ids=['accumulated', 'bfloat16', 'float16'])
def test_resumed_equals_undisturbed(images, tmp_path, wrapper: dict, masks: int,
                                    accumulate: int) -> None:
    options = dict(wrapper=wrapper, masks=masks, accumulate=accumulate)
    build(images, tmp_path / 'whole', **options).train()
    stop_after(build(images, tmp_path / 'part', **options), 5)
    build(images, tmp_path / 'part', **options).train()
    assert run_differences(tmp_path / 'part', tmp_path / 'whole') == []


@pytest.mark.parametrize('before, after, anew', [
    (model_cfg(), visible_cfg(), 'decoder, neck'),
    (model_cfg(), visible_cfg(use_shared_rel_pos_bias=False, use_sincos_pos_emb=True),
     'backbone.pos_embed, decoder, neck, teacher.backbone.pos_embed'),
    (model_cfg(), visible_cfg(projects=True), 'decoder'),
    (tokens_and_pixels_cfg(), visible_cfg(), 'neck'),
    (visible_cfg(), tokens_and_pixels_cfg(), 'neck'),
    (visible_cfg(), model_cfg(), 'backbone.mask_token, neck, teacher.backbone.mask_token, '
     'teacher.neck')], ids=[
        'to visible', 'to fixed positions', 'to visible with projector', 'to tokens',
        'to pixels', 'back'])
def test_one_form_starts_from_the_other(images, tmp_path, caplog, before: dict, after: dict,
                                        anew: str) -> None:
    Runner.from_cfg(run_cfg(images, tmp_path / 'before', model=before)).train()
    saved = torch.load(tmp_path / 'before/epoch_2.pth', weights_only=False)['state_dict']
    checkpoint = str(tmp_path / 'before/epoch_2.pth')
    runner = Runner.from_cfg(run_cfg(
        images, tmp_path / 'after', model=after, load_from=checkpoint))
    with caplog.at_level(logging.WARNING, logger=runner.logger.name):
        runner.logger.addHandler(caplog.handler)
        runner.load_or_resume()
    assert f'starts anew: {anew}' in caplog.text
    own = runner.model.state_dict()
    kept = [key for key in own if key.startswith(('backbone.', 'teacher.backbone.'))
            and not key.endswith(('mask_token', 'pos_embed'))]
    assert len(kept) > 40 and all(torch.equal(own[key], saved[key]) for key in kept)
    projector = 'neck.layers.3.weight'
    assert torch.equal(own[projector], saved[projector]) or 'neck' in anew
    runner.train()
    # but a run is not resumed as one of the other form
    with pytest.raises(InputError, match=r'not the run that the checkpoint is from: model\.'):
        Runner.from_cfg(run_cfg(images, tmp_path / 'resumed', epochs=3, model=after, resume=True,
                                load_from=checkpoint)).train()


def test_the_look_up_is_that_of_the_loss() -> None:
    model = build_model(visible_cfg()).eval()
    inputs = random_inputs()
    found = look_up(model, inputs)
    losses = model.loss(inputs)
    assert found.hits.sum() / inputs['mask'].sum() == losses['hit_rate']
    own = found.similarity.diagonal(dim1=1, dim2=2)[inputs['mask']].mean()
    torch.testing.assert_close(own, losses['positive_similarity'])


@pytest.mark.slow
def test_compiled_parts_compute_the_same(images, tmp_path) -> None:
    losses = []
    for name, hooks in (('plain', {}), ('compiled', dict(
            compile=dict(type='CompileHook', backend='aot_eager')))):
        runner = Runner.from_cfg(run_cfg(images, tmp_path / name, model=visible_cfg(),
                                         default_hooks=hooks))
        runner.train()
        losses.append(runner.message_hub.get_scalar('train/loss').data[0].tolist())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_every_command_reads_a_backbone_with_fixed_positions(images, tmp_path) -> None:
    """The weights do not tell the number of heads; the settings beside them do."""
    cfg = visible_cfg(use_shared_rel_pos_bias=False, use_sincos_pos_emb=True)
    runner = Runner.from_cfg(run_cfg(images, tmp_path, model=cfg))
    runner.train()
    views = torch.randn(2, 3, 32, 32)
    expected = runner.model.teacher.backbone.eval().mean_tokens(views)
    for source in (tmp_path, extracted(tmp_path)):
        torch.testing.assert_close(frozen_backbone(source).backbone.mean_tokens(views), expected)
    line = export(tmp_path, tmp_path / 'timm.pth', 'timm')
    assert 'vit_base_patch16' in line and 'num_heads=2' in line
    # a task has tables of its own beside the embedding, which start at 0
    task = MODELS.build(backbone_cfg(
        use_mask_token=False, use_shared_rel_pos_bias=False, use_rel_pos_bias=True,
        use_abs_pos_emb=True, init_cfg=dict(type='Pretrained', checkpoint=str(
            tmp_path / 'extracted.pth'))))
    task.init_weights()
    torch.testing.assert_close(task.eval().mean_tokens(views), expected)
    without = MODELS.build(backbone_cfg(
        use_mask_token=False, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path /
                                                                              'extracted.pth'))))
    with pytest.raises(InputError, match='set model.backbone.use_abs_pos_emb=True'):
        without.init_weights()


def extracted(run: Path) -> Path:
    export(run, run / 'extracted.pth', 'mmpretrain')
    return run / 'extracted.pth'


def test_the_look_up_of_a_single_image_tells_its_patches_apart() -> None:
    model = build_model(visible_cfg()).eval()
    inputs = {key: value[:1] for key, value in random_inputs().items()}
    found = look_up(model, inputs)
    rows = found.similarity[0, inputs['mask'][0]]
    assert (rows.std(dim=1) > 1e-3).all()
    tokens = model.teacher(inputs['teacher_view'])[:, 1:]
    holes = model.student_tokens(inputs['student_view'], inputs['mask'])[0][inputs['mask']]
    expected = torch.nn.functional.normalize(holes - holes.mean(dim=0), dim=-1) @ (
        torch.nn.functional.normalize(tokens - tokens.mean(dim=1), dim=-1)[0].T)
    torch.testing.assert_close(rows, expected)


def test_a_converted_checkpoint_without_teacher_starts_both_networks(images, tmp_path) -> None:
    weights = {key: value for key, value in build_model().state_dict().items()
               if not key.startswith('teacher.')}
    torch.save(dict(meta={}, state_dict=weights), tmp_path / 'converted.pth')
    runner = Runner.from_cfg(run_cfg(images, tmp_path / 'run', model=visible_cfg(),
                                     load_from=str(tmp_path / 'converted.pth')))
    runner.load_or_resume()
    for part in (runner.model, runner.model.teacher):
        assert torch.equal(part.backbone.blocks[1].mlp.fc2.weight,
                           weights['backbone.blocks.1.mlp.fc2.weight'])
