# The small ViT at 224 pixels, its student of visible patches alone: own images without a GPU.
_base_ = 'vit-tiny_visible_1xb32_scenes-64px.py'

# what is edited most often
data_root = 'data/images/'
batch_size = 8
max_iters = 4800
learning_rate = 1e-3
img_size = 224
patch_size = 16

model = dict(backbone=dict(img_size=img_size, patch_size=patch_size))

train_pipeline = [
    dict(type='LoadTwoViews', size=img_size, scale=(0.2, 1.0), perturbation=None),
    dict(
        type='RandomPatchMask',
        img_size=img_size,
        patch_size=patch_size,
        block_size=2 * patch_size,
        mask_ratio=0.75),
    dict(type='PackConMIMInputs'),
]

train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(data_root=data_root, data_prefix='', pipeline=train_pipeline))

optim_wrapper = dict(optimizer=dict(lr=learning_rate))
train_cfg = dict(max_iters=max_iters)
param_scheduler = dict(warmup=max_iters // 10)
auto_scale_lr = dict(base_batch_size=batch_size)
