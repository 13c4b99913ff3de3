import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from conmim_mm.apis.pretraining.recipe import (
    RECIPE_IMAGES,
    TABLE,
    Workload,
    choose_batch,
    fit_teacher,
    keep_teacher_slow,
    low_lr_warning,
    raise_table_lr,
    scale_lr,
    set_image_size,
    shorten_warmup,
    train_by_epochs,
)
from conmim_mm.errors import InputError
from conmim_mm.models import TokensAndPixelsTeacher
from conmim_mm.utils.sizes import to_size

from ...conftest import CONFIGS


def recipe(name: str = 'vit-s_8xb256') -> Config:
    return Config.fromfile(CONFIGS / 'conmim' / f'{name}.py')


def test_workload() -> None:
    work = Workload(images=1003, processes=2, batch_size=64, epochs=10)
    # 502 images for each process, 7 whole batches
    assert (work.total_batch, work.epoch_length, work.steps) == (128, 7, 70)


@pytest.mark.parametrize('images, processes, wanted, on_gpu, expected, why', [
    (1_281_167, 8, None, True, 256, ''),
    (5000, 1, None, True, 256, ''),
    (500, 1, None, True, 32, '8 steps or more'),  # 62 would do; powers of two
    (500, 2, None, True, 16, '8 steps or more'),
    (5000, 1, None, False, 16, 'no GPU here'),
    (3, 1, None, True, 1, '8 steps or more'),
    (500, 1, 500, True, 500, ''),
    (500, 2, 512, True, 250, 'lowered from 512: there are only 500 images'),
])
def test_batch_fits_the_images(images, processes, wanted, on_gpu, expected, why) -> None:
    batch, reason = choose_batch(images, processes, 256, wanted, on_gpu)
    assert batch == expected
    assert why in reason and bool(why) == bool(reason)


def test_fewer_images_than_processes() -> None:
    with pytest.raises(InputError, match='3 images are fewer than 4 processes'):
        choose_batch(3, 4, 256, None, True)


def test_learning_rate_is_linear_in_the_batch() -> None:
    cfg = recipe()
    assert scale_lr(cfg, 64) == '0.0015 x 64/2048 = 4.7e-05'
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(1.5e-3 * 64 / 2048, rel=1e-3)
    assert cfg.param_scheduler.eta_min == pytest.approx(1e-5 * 64 / 2048, rel=1e-3)
    assert cfg.auto_scale_lr.base_batch_size == 64  # what --auto-scale-lr would scale from


@pytest.mark.parametrize('images, epochs, factor', [
    (1_281_167, 300, None), (1_281_167, 100, None),  # ImageNet's scale: the recipe's own
    (500_000, 100, 7.7), (5000, 100, 100.)])
def test_table_gets_what_is_missing_of_the_recipes_images(images, epochs, factor) -> None:
    cfg = recipe()
    said = raise_table_lr(cfg, Workload(images, 1, 64, epochs))
    table = cfg.optim_wrapper.paramwise_cfg.custom_keys[TABLE]
    if factor is None:
        assert said == '' and table == dict(lr_mult=1., decay_mult=1.)
    else:
        assert table == dict(lr_mult=factor, decay_mult=0.)
        assert factor == pytest.approx(min(RECIPE_IMAGES / (images * epochs), 100), rel=0.01)
        assert f'{factor:g} x the learning rate' in said


def test_warmup_is_a_tenth_at_most() -> None:
    cfg = recipe()
    assert shorten_warmup(cfg, 100) == '' and cfg.param_scheduler.warmup == 10
    assert 'shortened from 10' in shorten_warmup(cfg, 5)
    assert cfg.param_scheduler.warmup == 0.5


def test_iterations_become_epochs() -> None:
    cfg = recipe('vit-tiny_1xb8_images-224px')
    assert cfg.param_scheduler.warmup == 240 and cfg.train_cfg.max_iters == 2400
    train_by_epochs(cfg, 50, epoch_length=48)
    assert cfg.train_cfg == dict(type='mmpretrain.ResumableEpochLoop', max_epochs=50)
    assert cfg.param_scheduler.warmup == 5 and cfg.param_scheduler.convert_to_iter_based
    assert cfg.train_dataloader.sampler.type == 'EpochSeededSampler'
    assert cfg.default_hooks.checkpoint.by_epoch and cfg.log_processor.by_epoch
    assert cfg.default_hooks.checkpoint.interval == 5  # 500 steps are 11 epochs, a tenth is 5


def test_checkpoints_of_long_epochs_come_every_epoch() -> None:
    cfg = recipe()
    train_by_epochs(cfg, 100, epoch_length=5004)
    assert cfg.train_cfg.max_epochs == 100 and cfg.default_hooks.checkpoint.interval == 1


def test_another_schedule_in_iterations_is_refused() -> None:
    cfg = recipe('vit-tiny_1xb8_images-224px')
    cfg.param_scheduler = [dict(type='LinearLR')]
    with pytest.raises(InputError, match='--epochs cannot change it'):
        train_by_epochs(cfg, 5, 10)


def test_image_size_reaches_model_and_pipeline() -> None:
    cfg = recipe()
    set_image_size(cfg, 160)
    views, mask = cfg.train_dataloader.dataset.pipeline[:2]
    assert cfg.model.backbone.img_size == views['size'] == mask['img_size'] == 160


def test_image_size_reaches_what_judges_the_features() -> None:
    cfg = recipe()
    cfg.val_dataloader = dict(dataset=dict(type='LabelledImages', size=224))
    cfg.test_dataloader = dict(dataset=dict(pipeline=[
        dict(type='ResizeToCover', size=224), dict(type='CenterCrop', crop_size=224),
        dict(type='Own', size=100)]))
    for size in ((160, 320), (320, 64)):
        set_image_size(cfg, size)
        assert cfg.val_dataloader.dataset.size == size
        cover, crop, own = cfg.test_dataloader.dataset.pipeline
        assert (cover['size'], crop['crop_size'], own['size']) == (size, size[::-1], 100)


def test_rates_too_small_to_learn_are_named() -> None:
    cfg = recipe()
    cfg.optim_wrapper.optimizer.lr = 1e-4
    assert low_lr_warning(cfg, 10_000) == ''
    assert '--lr 0.0005' in low_lr_warning(cfg, 1000)
    assert '--lr 0.0002' in low_lr_warning(cfg, 5000)


@pytest.mark.parametrize('name, steps, momentum', [
    ('vit-tiny_visible_1xb8_images-224px', 2999, '0.993331'),
    ('vit-s_visible_8xb256', 500, '0.96')])
def test_pace_of_the_teacher(name: str, steps: int, momentum: str) -> None:
    cfg = recipe(name)
    before = cfg.model.to_dict()
    assert fit_teacher(cfg, steps) == dict(
        teacher=f'momentum from {momentum}, by the number of steps')
    assert cfg.default_hooks.teacher.momentum is None and cfg.model.to_dict() == before


@pytest.mark.parametrize('name, changes, pixels', [
    ('vit-tiny_visible_1xb8_images-224px', {}, 3 * 16 * 16),
    ('vit-tiny_visible_1xb32_scenes-64px', dict(in_channels=13), 13 * 8 * 8),
    ('vit-s_visible_8xb256', {}, 3 * 16 * 16)])
def test_a_long_run_looks_pixels_up_as_well(name: str, changes: dict, pixels: int) -> None:
    cfg = recipe(name)
    cfg.model.backbone.update(changes)
    if changes:
        cfg.model.data_preprocessor.update(mean=13 * (0., ), std=13 * (1., ))
    assert fit_teacher(cfg, 3000)['targets'].startswith("the teacher's tokens, and the patches' ")
    width = cfg.model.backbone.arch.embed_dims
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert isinstance(model.teacher, TokensAndPixelsTeacher)
    assert model.head.num_pixels == pixels
    side = to_size(cfg.model.backbone.get('img_size', 224))
    images = torch.empty(2, changes.get('in_channels', 3), *side, device='meta')
    assert model.teacher(images).shape[-1] == model.neck.layers[-1].num_features == width + pixels


def test_adapting_keeps_a_slow_teacher() -> None:
    for name in ('vit-tiny_visible_1xb8_images-224px', 'vit-s_visible_8xb256'):
        cfg = recipe(name)
        cfg.default_hooks.teacher.momentum = None
        keep_teacher_slow(cfg)
        assert cfg.default_hooks.teacher.momentum == 0.996


def test_the_papers_student_keeps_its_teacher() -> None:
    cfg = recipe('vit-s_8xb256')
    assert fit_teacher(cfg, 14000) == {} and cfg.default_hooks.teacher.momentum == 0.996
    cfg.default_hooks.teacher.momentum = 0.9
    keep_teacher_slow(cfg)
    assert cfg.default_hooks.teacher.momentum == 0.9


def test_no_teacher_to_pace() -> None:
    cfg = recipe('vit-s_visible_8xb256')
    cfg.default_hooks.teacher = None
    assert fit_teacher(cfg, 5000) == {}
