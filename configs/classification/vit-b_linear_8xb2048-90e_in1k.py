# Linear probe of a frozen ViT-B/16 on ImageNet, 8 GPUs x 2048 images; for k-NN as well
_base_ = [
    '../_base_/backbones/vit-b.py', '../_base_/models/linear_probe.py',
    '../_base_/datasets/imagenet_linear_224.py', '../_base_/schedules/classification_lars.py',
    '../_base_/classification_runtime.py'
]

embed_dims = _base_.backbone.arch.embed_dims

model = dict(
    backbone=dict(
        frozen_stages=_base_.backbone.arch.num_layers,
        # a pre-training checkpoint or an extracted backbone
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/vit-b_8xb256/epoch_800.pth',
            weights='teacher'),
        **_base_.backbone),
    neck=[
        dict(type='GlobalAveragePooling'),
        dict(type='ClsBatchNormNeck', input_features=embed_dims),
    ],
    head=dict(in_channels=embed_dims))
