"""A ConMIM small enough for tests: 32 px, patch 8, two blocks."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from PIL import Image

from conmim_mm import register_all_modules
from conmim_mm.utils.work_dir import last_checkpoint

from .conftest import CONFIGS

register_all_modules()  # here, too: processes that tests start take their runs from this file

IMG_SIZE = 32
PATCH_SIZE = 8
NUM_PATCHES = 16
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


def named_arch(size: str) -> dict:
    """The sizes of ``'s'``, ``'b'`` or ``'l'``, as the recipes have them."""
    return Config.fromfile(CONFIGS / '_base_' / 'backbones' / f'vit-{size}.py').backbone.arch


def backbone_cfg(**overrides) -> dict:
    return dict(
        type='ConMIMViT', arch=ARCH, img_size=IMG_SIZE, patch_size=PATCH_SIZE,
        use_mask_token=True) | overrides


def model_cfg(**backbone_overrides) -> dict:
    return dict(
        type='ConMIM',
        backbone=backbone_cfg(**backbone_overrides),
        neck=dict(type='ConMIMProjector', in_channels=24, hid_channels=32, out_channels=16),
        head=dict(type='ConMIMHead', loss=dict(type='PatchInfoNCELoss', temperature=0.1)))


def visible_cfg(decoder: str = 'CrossAttentionDecoder', projects: bool = False,
                **backbone_overrides) -> dict:
    """The form whose student sees the visible patches alone."""
    cfg = model_cfg(use_mask_token=False, **backbone_overrides)
    cfg['decoder'] = dict(type=decoder, embed_dims=24, num_heads=2)
    if not projects:
        cfg['neck']['out_channels'] = 24
        cfg['head']['centre_positions'] = True
        cfg['teacher'] = dict(type='EMABackboneTeacher')
    return cfg


def tokens_and_pixels_cfg() -> dict:
    """The same form, whose holes are looked up by pixels as well."""
    cfg = visible_cfg()
    cfg['neck']['out_channels'] = 24 + 3 * 8 * 8
    cfg['teacher'] = dict(type='TokensAndPixelsTeacher')
    cfg['head'].update(type='TokensAndPixelsHead', num_pixels=3 * 8 * 8)
    return cfg


def build_model(cfg: dict | None = None, **backbone_overrides):
    model = MODELS.build(cfg or model_cfg(**backbone_overrides))
    model.init_weights()
    return model


def saved_model(work_dir: Path):
    """The model of a run, built from its config and not from the weights alone, in eval mode."""
    model = build_model()
    model.load_state_dict(torch.load(last_checkpoint(work_dir), weights_only=False)['state_dict'])
    return model.eval()


def save_scenes_model(path: Path) -> dict[str, torch.Tensor]:
    """A checkpoint of the tiny recipe whose teacher is not its student; gives its weights."""
    cfg = Config.fromfile(CONFIGS / 'conmim' / 'vit-tiny_1xb32_scenes-64px.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    model.init_weights()
    state = {
        key: 0.1 * torch.randn_like(value)
        if key.startswith('teacher.backbone.') or 'bias_table' in key else value
        for key, value in model.state_dict().items()}
    torch.save(dict(state_dict=state), path)
    return state


def random_inputs(batch: int = 4, size: tuple[int, int] = (IMG_SIZE, IMG_SIZE),
                  patch: int = PATCH_SIZE) -> dict[str, torch.Tensor]:
    """Views, already normalised, and a mask with the same number of holes in every image."""
    num_patches = size[0] * size[1] // patch**2
    mask = torch.zeros(batch, num_patches, dtype=torch.bool)
    for row in mask:
        row[torch.randperm(num_patches)[:num_patches // 2]] = True
    return dict(
        student_view=torch.randn(batch, 3, *size),
        teacher_view=torch.randn(batch, 3, *size),
        mask=mask)


def write_noise_images(folder: Path, count: int, side: int) -> Path:
    """Square PNGs of random pixels, the same every time."""
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(
            folder / f'{i}.png')
    return folder


def run_cfg(images: Path, work_dir: Path, epochs: int = 2, batch_size: int = 4, accumulate: int = 1,
            default_hooks: dict | None = None, **overrides) -> dict:
    """A whole run on a folder of images, one checkpoint an epoch."""
    pipeline = [
        dict(type='LoadRGBImage'),
        dict(type='ConMIMTwoViews', size=32),
        dict(type='RandomPatchMask', img_size=32, patch_size=8, block_size=8, mask_ratio=0.5),
        dict(type='PackConMIMInputs'),
    ]
    return dict(
        model=model_cfg(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            drop_last=True,
            sampler=dict(type='EpochSeededSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
            dataset=dict(type='ImageFiles', data_root=str(images), pipeline=pipeline)),
        train_cfg=dict(type='ResumableEpochLoop', max_epochs=epochs),
        optim_wrapper=dict(
            type='OptimWrapper',
            accumulative_counts=accumulate,
            optimizer=dict(
                type='AdamW', lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05, fused=True),
            clip_grad=dict(max_norm=3.),
            constructor='MergedOptimWrapperConstructor',
            paramwise_cfg=dict(flat_decay_mult=0.)),
        param_scheduler=dict(type='WarmupCosineLR', warmup=1, eta_min=1e-5,
                             convert_to_iter_based=True),
        default_hooks=dict(
            start_checks=dict(type='StartChecksHook'),
            teacher=dict(type='TeacherUpdateHook', momentum=0.9),
            checkpoint=dict(type='AtomicCheckpointHook', interval=1)) | (default_hooks or {}),
        default_scope='mmpretrain',
        randomness=dict(seed=0),
        experiment_name=f'{work_dir.name}_{len(list(work_dir.glob("*")))}',
        log_level='WARNING') | overrides


# as it is typed: a config file with the bases of ours
CONFIG = """
_base_ = [{bases}]
pipeline = [
    dict(type='LoadRGBImage'),
    dict(type='ConMIMTwoViews', size=32),
    dict(type='RandomPatchMask', img_size=32, patch_size=8, block_size=8, mask_ratio=0.5),
    dict(type='PackConMIMInputs'),
]
model = dict(
    backbone=dict(type='ConMIMViT', arch={arch}, img_size=32, patch_size=8),
    neck=dict(in_channels=24, hid_channels=32, out_channels=16))
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, pin_memory=False,
    dataset=dict(data_root={images!r}, data_prefix='', pipeline=pipeline))
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3))
param_scheduler = dict(warmup=0)
train_cfg = dict(max_epochs=2)
auto_scale_lr = dict(base_batch_size=4)
"""
BASES = ('models/conmim.py', 'datasets/images_conmim_224.py', 'schedules/conmim_adamw.py',
         'conmim_runtime.py')


def write_config(folder: Path, images: Path) -> Path:
    """``toy.py``, a config for tools/train.py and conmim pretrain."""
    path = folder / 'toy.py'
    bases = ', '.join(repr(str(CONFIGS / '_base_' / base)) for base in BASES)
    path.write_text(CONFIG.format(bases=bases, arch=ARCH, images=str(images)))
    return path
