# SimMIM on the same ViT: mask tokens in the encoder, a linear layer back to pixels.
_base_ = '_peer_.py'

mask = dict(type='SimMIMMaskGenerator', input_size=_base_.img_size,
            mask_patch_size=_base_.patch_size, model_patch_size=_base_.patch_size, mask_ratio=0.6)

model = dict(
    type='SimMIM',
    backbone=dict(_base_.table_vit, type='SimMIMViT'),
    neck=dict(type='SimMIMLinearDecoder', in_channels=_base_.arch.embed_dims,
              encoder_stride=_base_.patch_size),
    head=dict(type='SimMIMHead', patch_size=_base_.patch_size,
              loss=dict(type='PixelReconstructionLoss', criterion='L1', channel=3)))

train_dataloader = dict(dataset=dict(pipeline=[
    _base_.load, mask,
    dict(type='PackInputs', input_key='student_view')]))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(
    relative_position_bias_table=dict(lr_mult=10., decay_mult=0.))))
