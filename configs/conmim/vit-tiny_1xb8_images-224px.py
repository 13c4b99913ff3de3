# The small ViT at 224 pixels: a start for your own images without a GPU.
_base_ = 'vit-tiny_1xb32_scenes-64px.py'

# what is edited most often
data_root = 'data/images/'
batch_size = 8
max_iters = 2400
learning_rate = 1e-3
img_size = 224
patch_size = 16

# as docs/results.md measures it on photos; the demo's settings were tried on its scenes
model = dict(
    backbone=dict(img_size=img_size, patch_size=patch_size, rel_pos_init_slope=0.),
    neck=dict(hid_channels=512))

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
    dataset=dict(data_root=data_root, data_prefix='', pipeline=train_pipeline))

optim_wrapper = dict(
    optimizer=dict(lr=learning_rate),
    paramwise_cfg=dict(
        custom_keys=dict(
            # so few steps are not enough for the table to grow at the base rate
            relative_position_bias_table=dict(lr_mult=100.))))
train_cfg = dict(max_iters=max_iters)
param_scheduler = dict(warmup=max_iters // 10)
auto_scale_lr = dict(base_batch_size=batch_size)
default_hooks = dict(teacher=dict(momentum=0.996))
