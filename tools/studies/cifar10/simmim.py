# SimMIM on the same ViT: mask tokens in the encoder, a linear layer back to pixels.
_base_ = '_base_.py'

custom_imports = dict(
    imports=['conmim_mm.registration', 'mmpretrain.models', 'mmpretrain.datasets', 'peers'],
    allow_failed_imports=False)

mask = dict(type='SimMIMMaskGenerator', input_size=_base_.img_size,
            mask_patch_size=_base_.patch_size, model_patch_size=_base_.patch_size, mask_ratio=0.6)

model = dict(
    type='SimMIM',
    backbone=dict(
        type='SimMIMViT',
        arch=_base_.arch,
        img_size=_base_.img_size,
        patch_size=_base_.patch_size,
        layer_scale_init_value=0.1,
        rel_pos_init_slope=2.,
        use_mask_token=True),
    neck=dict(type='SimMIMLinearDecoder', in_channels=_base_.arch.embed_dims,
              encoder_stride=_base_.patch_size),
    head=dict(type='SimMIMHead', patch_size=_base_.patch_size,
              loss=dict(type='PixelReconstructionLoss', criterion='L1', channel=3)),
    data_preprocessor=dict(
        type='SelfSupDataPreprocessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375)))

train_dataloader = dict(dataset=dict(pipeline=[
    _base_.load, mask,
    dict(type='PackInputs', input_key='student_view')]))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(
    relative_position_bias_table=dict(lr_mult=10., decay_mult=0.))))
