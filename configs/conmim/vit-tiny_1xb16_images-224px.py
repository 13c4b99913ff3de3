# The small ViT at 224 pixels: a start for your own images without a GPU.
_base_ = 'vit-tiny_1xb32_scenes-64px.py'

data_root = 'data/images/'
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
    batch_size=16,
    dataset=dict(data_root=data_root, data_prefix='', pipeline=train_pipeline))
