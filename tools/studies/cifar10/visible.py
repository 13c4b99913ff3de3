# ConMIM whose student encodes the visible patches alone.
_base_ = ['_base_.py', '../../../configs/_base_/models/conmim_visible.py']

arch = _base_.arch
mask = dict(type='RandomPatchMask', img_size=_base_.img_size, patch_size=_base_.patch_size,
            block_size=_base_.patch_size, mask_ratio=0.75)

model = dict(
    backbone=dict(
        type='ConMIMViT',
        arch=arch,
        img_size=_base_.img_size,
        patch_size=_base_.patch_size,
        layer_scale_init_value=1.),
    decoder=dict(embed_dims=arch.embed_dims, num_heads=arch.num_heads),
    neck=dict(in_channels=arch.embed_dims, hid_channels=2 * arch.embed_dims,
              out_channels=arch.embed_dims))

train_dataloader = dict(dataset=dict(
    pipeline=[_base_.load, mask, dict(type='PackConMIMInputs')]))

optim_wrapper = dict(optimizer=dict(lr=2e-3))

default_hooks = dict(
    learning_monitor=dict(type='mmpretrain.LearningMonitorHook'),
    teacher=dict(type='mmpretrain.TeacherUpdateHook', momentum=None),
    skipped_images=dict(type='mmpretrain.SkippedImagesHook'),
    bad_numbers=dict(type='mmpretrain.BadNumbersHook'))
