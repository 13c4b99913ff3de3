"""What a plan is made of, down to a step of its model."""

import pytest
import torch
from mmpretrain.registry import MODELS

from conmim_mm.apis.pretraining.plan import PretrainOptions, plan_run
from conmim_mm.checkpoint.settings import type_name
from conmim_mm.errors import InputError

LONG = 400  # epochs of nine steps each


@pytest.mark.parametrize('options, pixels', [
    (dict(epochs=LONG), True),
    (dict(epochs=LONG, img_size=(32, 64)), True),
    (dict(epochs=LONG, cfg_options={'model.head.pixel_weight': 0.5}), True),
    (dict(epochs=10), False),
    (dict(epochs=LONG, student='paper'), False),
    (dict(epochs=LONG, cfg_options={'model.teacher.type': 'EMABackboneTeacher'}), False),
    (dict(epochs=LONG, cfg_options={'model.teacher.type': 'EMATeacher',
                                    'model.neck.out_channels': 64}), False),
    (dict(epochs=LONG, cfg_options={'model.backbone.patch_size': 8,
                                    'train_dataloader.dataset.pipeline.1.patch_size': 8,
                                    'train_dataloader.dataset.pipeline.1.block_size': 8}), False),
    (dict(epochs=LONG, init=True), False),
    (dict(epochs=LONG, init=True, config=True), False)])
def test_long_runs_from_scratch_look_pixels_up_as_well(
        toy, tmp_path, options: dict, pixels: bool) -> None:
    given = dict(data=toy.photos, out=tmp_path / 'run', img_size=32) | options
    if given.pop('init', False):
        given['init'] = str(toy.out)
    else:
        given['arch'] = 'tiny'
    if given.pop('config', False):
        given['config'] = str(toy.config)
    plan = plan_run(PretrainOptions(**given))
    assert ('targets' in plan.lines) is pixels
    assert (type_name(plan.cfg.model.teacher) == 'TokensAndPixelsTeacher') is pixels
    plan.cfg.model.backbone.init_cfg = plan.cfg.model.neck.init_cfg = None
    model = MODELS.build(plan.cfg.model)
    height, width = plan.cfg.model.backbone.img_size, plan.cfg.model.backbone.img_size
    if not isinstance(height, int):
        height, width = height
    patch = plan.cfg.model.backbone.get('patch_size', 16)
    views = torch.randn(2, 2, 3, height, width)
    mask = torch.arange(height // patch * (width // patch)).expand(2, -1) % 2 == 0
    inputs = dict(student_view=views[0], teacher_view=views[1], mask=mask)
    assert model(inputs, mode='loss')['loss'].isfinite()


def test_pixels_of_another_size_than_the_projectors_are_refused_before_a_run(toy, tmp_path) -> None:
    with pytest.raises(InputError, match='the head wants 5'):
        plan_run(PretrainOptions(data=toy.photos, out=tmp_path / 'run', arch='tiny', epochs=LONG,
                                 cfg_options={'model.head.num_pixels': 5}))
    assert not (tmp_path / 'run').exists()


def test_a_config_of_tokens_and_pixels_adapts_other_weights(toy, tmp_path) -> None:
    """Its patches and bands are those of the weights, and so the pixels."""
    long = plan_run(PretrainOptions(data=toy.photos, out=tmp_path / 'run', arch='tiny',
                                    epochs=LONG)).cfg
    assert long.model.head.num_pixels == 3 * 16 * 16
    long.dump(tmp_path / 'long.py')
    cfg = plan_run(PretrainOptions(data=toy.photos, out=tmp_path / 'next', init=str(toy.out),
                                   config=str(tmp_path / 'long.py'))).cfg
    assert cfg.model.head.num_pixels == 3 * 8 * 8
    assert cfg.model.neck.out_channels == 24 + 3 * 8 * 8
