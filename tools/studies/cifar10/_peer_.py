# What mmpretrain's methods need besides.
_base_ = '_base_.py'

custom_imports = dict(
    imports=['conmim_mm.registration', 'mmpretrain.models', 'mmpretrain.datasets', 'peers'],
    allow_failed_imports=False)

# of the methods with mask tokens in the encoder, as ConMIM's in the paper's form
table_vit = dict(
    arch=_base_.arch,
    img_size=_base_.img_size,
    patch_size=_base_.patch_size,
    layer_scale_init_value=0.1,
    rel_pos_init_slope=2.,
    use_mask_token=True)

model = dict(data_preprocessor=dict(
    type='SelfSupDataPreprocessor',
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375)))
