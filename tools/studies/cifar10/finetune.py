# The judges: 1,000 labels a class for k-NN and linear probe, as many as a study says to fine-tune;
# 4,000 test images.
_base_ = ['../../../configs/classification/vit-tiny_1xb64_cifar10-64px.py']

img_size = 32
reference_per_class = 1000

test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=img_size, crop_ratio_range=(0.5, 1.), backend='pillow',
         interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]))
val_dataloader = dict(
    num_workers=0, persistent_workers=False, batch_size=250,
    dataset=dict(images_per_class=400, pipeline=test_pipeline))
test_dataloader = val_dataloader
default_hooks = dict(report=None, live=None)
