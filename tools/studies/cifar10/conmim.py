# The paper's form: mask tokens in the encoder, relative position tables.
_base_ = ['_base_.py', '../../../configs/_base_/models/conmim.py']

mask = dict(type='RandomPatchMask', img_size=_base_.img_size, patch_size=_base_.patch_size,
            block_size=_base_.patch_size, mask_ratio=0.6)

model = dict(
    backbone=dict(
        type='ConMIMViT',
        arch=_base_.arch,
        img_size=_base_.img_size,
        patch_size=_base_.patch_size,
        layer_scale_init_value=0.1,
        rel_pos_init_slope=2.),
    neck=dict(in_channels=_base_.arch.embed_dims, hid_channels=256))

train_dataloader = dict(dataset=dict(
    pipeline=[_base_.load, mask, dict(type='PackConMIMInputs')]))

optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(
    relative_position_bias_table=dict(lr_mult=10., decay_mult=0.))))

default_hooks = dict(
    learning_monitor=dict(type='mmpretrain.LearningMonitorHook'),
    teacher=dict(type='mmpretrain.TeacherUpdateHook', momentum=0.99),
    skipped_images=dict(type='mmpretrain.SkippedImagesHook'),
    bad_numbers=dict(type='mmpretrain.BadNumbersHook'))
