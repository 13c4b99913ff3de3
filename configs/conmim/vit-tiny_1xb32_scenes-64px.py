# A small ViT that learns within minutes on two cores, in the paper's form.
_base_ = [
    '../_base_/backbones/vit-tiny.py', '../_base_/models/conmim.py',
    '../_base_/datasets/images_conmim_224.py', '../_base_/schedules/conmim_adamw.py',
    '../_base_/conmim_runtime.py'
]

# what is edited most often
data_root = 'data/scenes/imagenet/'
data_prefix = 'train'
batch_size = 32
max_iters = 1400
learning_rate = 7e-4

img_size = _base_.backbone.img_size
patch_size = _base_.backbone.patch_size

model = dict(
    backbone={**_base_.backbone, 'use_abs_pos_emb': False},  # a shortcut: docs/learning.md
    neck=dict(in_channels={{_base_.backbone.arch.embed_dims}}, hid_channels=256))

train_pipeline = [
    dict(type='LoadTwoViews', size=img_size, scale=(0.2, 1.0)),
    dict(
        type='RandomPatchMask',
        img_size=img_size,
        patch_size=patch_size,
        block_size=2 * patch_size,
        mask_ratio=0.5),
    dict(type='PackConMIMInputs'),
]

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    sampler=dict(_delete_=True, type='InfiniteSeededSampler', shuffle=True),
    dataset=dict(data_root=data_root, data_prefix=data_prefix, pipeline=train_pipeline))

optim_wrapper = dict(
    optimizer=dict(lr=learning_rate),
    paramwise_cfg=dict(
        custom_keys=dict(
            # so few steps are not enough for the table to change at the base rate
            relative_position_bias_table=dict(lr_mult=10., decay_mult=0.))))

param_scheduler = dict(
    _delete_=True, type='WarmupCosineLR', warmup=max_iters // 10, eta_min=1e-5, by_epoch=False)

train_cfg = dict(_delete_=True, type='mmpretrain.ResumableIterLoop', max_iters=max_iters)

auto_scale_lr = dict(base_batch_size=batch_size)

default_hooks = dict(
    # a short run needs a teacher that moves faster than the recipes' 0.996
    teacher=dict(momentum=0.99),
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=False, interval=200, max_keep_ckpts=1))
log_processor = dict(by_epoch=False)
