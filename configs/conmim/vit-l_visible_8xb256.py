# Ours, not the paper's: the student encodes visible patches alone; the rest as published.
_base_ = [
    '../_base_/backbones/vit-l.py', '../_base_/models/conmim_visible.py',
    '../_base_/datasets/images_conmim_224.py', '../_base_/schedules/conmim_adamw.py',
    '../_base_/conmim_runtime.py'
]

arch = _base_.backbone.arch

model = dict(
    backbone={**_base_.backbone, 'layer_scale_init_value': 1.},
    decoder=dict(embed_dims=arch.embed_dims, num_heads=arch.num_heads),
    neck=dict(in_channels=arch.embed_dims, hid_channels=2 * arch.embed_dims,
              out_channels=arch.embed_dims))

optim_wrapper = dict(optimizer=dict(lr=7.5e-4), clip_grad=dict(max_norm=1.0))
train_cfg = dict(max_epochs=1600)
