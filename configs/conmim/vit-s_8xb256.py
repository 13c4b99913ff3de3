# ConMIM ViT-S/16, ImageNet, 300 epochs, 8 GPUs x 256 images
_base_ = [
    '../_base_/backbones/vit-s.py', '../_base_/models/conmim.py',
    '../_base_/datasets/images_conmim_224.py', '../_base_/schedules/conmim_adamw.py',
    '../_base_/conmim_runtime.py'
]

model = dict(
    backbone={{_base_.backbone}},
    neck=dict(in_channels={{_base_.backbone.arch.embed_dims}}))
