# ConMIM whose student encodes the visible patches alone, on crops of photos.
_base_ = '../cifar10/visible.py'

img_size = 96
patch_size = 8
load = dict(type='LoadTwoViews', size=img_size, scale=(0.2, 1.), perturbation=None)
mask = dict(type='RandomPatchMask', img_size=img_size, patch_size=patch_size,
            block_size=patch_size, mask_ratio=0.75)

model = dict(backbone=dict(img_size=img_size, patch_size=patch_size))
train_dataloader = dict(
    batch_size=32, dataset=dict(pipeline=[load, mask, dict(type='PackConMIMInputs')]))
