# MoCo v3 on the same ViT: two crops of an image, told apart from those of other images.
_base_ = '_peer_.py'

temperature = 0.2
width = _base_.arch.embed_dims
projector = dict(
    type='NonLinearNeck', hid_channels=4 * width, out_channels=width, with_last_bn_affine=False,
    with_avg_pool=False, norm_cfg=dict(type='BN1d'))

model = dict(
    type='MoCoV3',
    base_momentum=0.01,
    backbone=dict(type='MoCoV3ViT', arch=_base_.arch, img_size=_base_.img_size,
                  patch_size=_base_.patch_size, out_type='cls_token', stop_grad_conv1=True),
    neck=dict(projector, in_channels=width, num_layers=3),
    head=dict(
        type='MoCoV3Head',
        predictor=dict(projector, in_channels=width, num_layers=2),
        loss=dict(type='CrossEntropyLoss', loss_weight=2 * temperature),
        temperature=temperature))


def view(blur, solarise):
    """The paper's views, of crops from 30 %: an image of 32 px has little to lose."""
    return [
        dict(type='mmpretrain.RandomResizedCrop', scale=_base_.img_size,
             crop_ratio_range=(0.3, 1.)),
        dict(type='RandomApply', prob=0.8, transforms=[dict(
            type='mmpretrain.ColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)]),
        dict(type='mmpretrain.RandomGrayscale', prob=0.2, keep_channels=True),
        dict(type='mmpretrain.GaussianBlur', magnitude_range=(0.1, 1.), magnitude_std='inf',
             prob=blur),
        dict(type='mmpretrain.Solarize', thr=128, prob=solarise),
        dict(type='mmpretrain.RandomFlip', prob=0.5),
    ]


train_dataloader = dict(batch_size=128, dataset=dict(pipeline=[
    dict(type='LoadRGBImage'),
    dict(type='mmpretrain.MultiView', num_views=[1, 1], transforms=[view(1., 0.), view(0.1, 0.2)]),
    dict(type='PackInputs')]))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
default_hooks = dict(attention=dict(type='SameAttentionHook'))
