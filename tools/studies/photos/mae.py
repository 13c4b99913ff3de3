# mmpretrain's MAE on the same ViT and crops.
_base_ = '../cifar10/mae.py'

img_size = 96
patch_size = 8
load = dict(type='LoadTwoViews', size=img_size, scale=(0.2, 1.), perturbation=None)

model = dict(
    backbone=dict(img_size=img_size, patch_size=patch_size),
    neck=dict(num_patches=(img_size // patch_size)**2, patch_size=patch_size),
    head=dict(patch_size=patch_size))
train_dataloader = dict(batch_size=32, dataset=dict(
    pipeline=[load, dict(type='PackInputs', input_key='student_view')]))
