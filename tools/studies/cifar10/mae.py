# mmpretrain's MAE on the same ViT, images and schedule.
_base_ = '_peer_.py'

model = dict(
    type='MAE',
    backbone=dict(type='MAEViT', arch=_base_.arch, img_size=_base_.img_size,
                  patch_size=_base_.patch_size, mask_ratio=0.75),
    neck=dict(
        type='MAEPretrainDecoder',
        num_patches=(_base_.img_size // _base_.patch_size)**2,
        patch_size=_base_.patch_size,
        embed_dim=_base_.arch.embed_dims,
        decoder_embed_dim=64,
        decoder_depth=2,
        decoder_num_heads=4),
    head=dict(type='MAEPretrainHead', norm_pix=True, patch_size=_base_.patch_size,
              loss=dict(type='PixelReconstructionLoss', criterion='L2')),
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0)
    ])

train_dataloader = dict(dataset=dict(
    pipeline=[_base_.load, dict(type='PackInputs', input_key='student_view')]))
optim_wrapper = dict(optimizer=dict(lr=2e-3, betas=(0.9, 0.95)))
default_hooks = dict(attention=dict(type='SameAttentionHook'))
