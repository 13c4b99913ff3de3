# BEiT's task on the same ViT: the hidden patches' numbers in a code book. Its tokenizer was trained
# on 250 million other images, so random projections are in its place, as in BEST-RQ (arXiv
# 2202.01855).
_base_ = '_base_.py'

custom_imports = dict(
    imports=['conmim_mm.registration', 'mmpretrain.models', 'mmpretrain.datasets', 'peers'],
    allow_failed_imports=False)

grid = _base_.img_size // _base_.patch_size
codes = 1024

model = dict(
    type='BEiT',
    backbone=dict(
        type='BEiTStyleViT',
        arch=_base_.arch,
        img_size=_base_.img_size,
        patch_size=_base_.patch_size,
        layer_scale_init_value=0.1,
        rel_pos_init_slope=2.,
        use_mask_token=True),
    head=dict(type='BEiTV1Head', embed_dims=_base_.arch.embed_dims, num_embed=codes,
              loss=dict(type='mmpretrain.CrossEntropyLoss')),
    target_generator=dict(type='RandomProjectionTokenizer', patch_size=_base_.patch_size,
                          num_codes=codes),
    data_preprocessor=dict(
        type='SelfSupDataPreprocessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375)))

train_dataloader = dict(dataset=dict(pipeline=[
    _base_.load,
    dict(type='mmpretrain.BEiTMaskGenerator', input_size=grid,
         num_masking_patches=round(0.4 * grid**2)),
    dict(type='BothViews'),
    dict(type='PackInputs')]))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(
    relative_position_bias_table=dict(lr_mult=10., decay_mult=0.))))
