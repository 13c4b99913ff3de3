# A small ViT that learns within minutes on two cores, its student of visible patches alone: the
# demo's recipe.
_base_ = [
    '../_base_/backbones/vit-tiny.py', '../_base_/models/conmim_visible.py',
    '../_base_/datasets/images_conmim_224.py', '../_base_/schedules/conmim_adamw.py',
    '../_base_/conmim_runtime.py'
]

# what is edited most often
data_root = 'data/scenes/imagenet/'
data_prefix = 'train'
batch_size = 32
max_iters = 2000
learning_rate = 1.5e-3

arch = _base_.backbone.arch
img_size = _base_.backbone.img_size
patch_size = _base_.backbone.patch_size

model = dict(
    backbone={**_base_.backbone, 'layer_scale_init_value': 1., 'rel_pos_init_slope': 0.},
    decoder=dict(embed_dims=arch.embed_dims, num_heads=arch.num_heads),
    neck=dict(in_channels=arch.embed_dims, hid_channels=2 * arch.embed_dims,
              out_channels=arch.embed_dims))

train_pipeline = [
    # whole images, flipped: crops cost short runs more than they bring
    dict(type='LoadTwoViews', size=img_size, scale=(1., 1.), ratio=(1., 1.), perturbation=None),
    dict(
        type='RandomPatchMask',
        img_size=img_size,
        patch_size=patch_size,
        block_size=patch_size,
        mask_ratio=0.75),
    dict(type='PackConMIMInputs'),
]

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    sampler=dict(_delete_=True, type='InfiniteSeededSampler', shuffle=True),
    dataset=dict(data_root=data_root, data_prefix=data_prefix, pipeline=train_pipeline))

optim_wrapper = dict(optimizer=dict(lr=learning_rate))

param_scheduler = dict(
    _delete_=True, type='WarmupCosineLR', warmup=max_iters // 10, eta_min=1e-5, by_epoch=False)

train_cfg = dict(_delete_=True, type='mmpretrain.ResumableIterLoop', max_iters=max_iters)

auto_scale_lr = dict(base_batch_size=batch_size)

default_hooks = dict(
    # a short run needs a teacher that moves faster than the recipes' 0.996
    teacher=dict(momentum=None),  # by the length of the run: 0.99 in 2,000 steps
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=False, interval=200, max_keep_ckpts=1))
log_processor = dict(by_epoch=False)
