# The small ViT at 224 pixels: a start for your own images without a GPU.
_base_ = 'vit-tiny_1xb32_scenes-64px.py'

# what is edited most often
data_root = 'data/images/'
batch_size = 8
max_iters = 2400
learning_rate = 1e-3
img_size = 224
patch_size = 16

model = dict(backbone=dict(img_size=img_size, patch_size=patch_size))

train_pipeline = [
    dict(type='LoadRGBImage'),
    dict(type='ConMIMTwoViews', size=img_size, scale=(0.2, 1.0)),
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

# With 196 patches the demo's rate and fast teacher keep the loss above chance for long.
optim_wrapper = dict(optimizer=dict(lr=learning_rate))
custom_hooks = [
    dict(type='StartChecksHook'),
    dict(type='ShortcutWarningHook'),
    dict(type='TeacherUpdateHook', momentum=0.996, end_momentum=1.0),
]

train_cfg = dict(max_iters=max_iters)
param_scheduler = dict(warmup=max_iters // 10)
auto_scale_lr = dict(base_batch_size=batch_size)
