# ConMIM ViT-L/16, ImageNet, 1600 epochs, 32 GPUs x 64 images: the one published recipe
_base_ = [
    '../_base_/backbones/vit-l.py', '../_base_/models/conmim.py',
    '../_base_/datasets/images_conmim_224.py', '../_base_/schedules/conmim_adamw.py',
    '../_base_/conmim_runtime.py'
]

model = dict(
    backbone={{_base_.backbone}},
    neck=dict(in_channels={{_base_.backbone.arch.embed_dims}}))

train_dataloader = dict(batch_size=64)

optim_wrapper = dict(optimizer=dict(lr=7.5e-4), clip_grad=dict(max_norm=1.0))

train_cfg = dict(max_epochs=1600)
