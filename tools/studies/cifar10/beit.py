# BEiT's task on the same ViT: the hidden patches' numbers in a code book. Its tokenizer was trained
# on 250 million other images, so random projections are in its place, as in BEST-RQ (arXiv
# 2202.01855).
_base_ = '_peer_.py'

grid = _base_.img_size // _base_.patch_size
codes = 1024

model = dict(
    type='BEiT',
    backbone=dict(_base_.table_vit, type='BEiTStyleViT'),
    head=dict(type='BEiTV1Head', embed_dims=_base_.arch.embed_dims, num_embed=codes,
              loss=dict(type='mmpretrain.CrossEntropyLoss')),
    target_generator=dict(type='RandomProjectionTokenizer', patch_size=_base_.patch_size,
                          num_codes=codes))

train_dataloader = dict(dataset=dict(pipeline=[
    _base_.load,
    dict(type='mmpretrain.BEiTMaskGenerator', input_size=grid,
         num_masking_patches=round(0.4 * grid**2)),
    dict(type='BothViews'),
    dict(type='PackInputs')]))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(
    relative_position_bias_table=dict(lr_mult=10., decay_mult=0.))))
