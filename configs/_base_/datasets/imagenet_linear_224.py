# ImageNet with labels, cropped and flipped only: for linear probing and k-NN.
_base_ = 'imagenet_finetune_224.py'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResizedCrop',
        scale=_base_.img_size,
        backend='pillow',
        interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]

train_dataloader = dict(batch_size=2048, dataset=dict(pipeline=train_pipeline))
