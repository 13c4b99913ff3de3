# ImageNet, or any other folder of images: --data-root DIR (and data_prefix='' for a plain folder).
data_root = 'data/imagenet/'
img_size = 224
patch_size = 16
train_pipeline = [
    # decodes no more of a file than the crop needs; LoadRGBImage and ConMIMTwoViews in its place
    # decode all of it
    dict(
        type='LoadTwoViews',
        size=img_size,
        scale=(0.08, 1.0),
        # None switches the asymmetric perturbation off; type='DevicePerturbation' has the GPU do it
        perturbation=dict(
            type='TeacherPerturbation',
            jitter_prob=0.8,
            brightness=0.4,
            contrast=0.4,
            saturation=0.2,
            hue=0.1,
            grey_prob=0.2,
            blur_prob=0.1,
            blur_radius=(0.1, 2.0),
            solarise_prob=0.2,
            solarise_threshold=128)),
    # or dict(type='BlockPatchMask', img_size=img_size, patch_size=patch_size, num_masked=75)
    dict(
        type='RandomPatchMask',
        img_size=img_size,
        patch_size=patch_size,
        block_size=2 * patch_size,
        mask_ratio=0.75),
    dict(type='PackConMIMInputs'),
]

train_dataloader = dict(
    batch_size=256,
    num_workers=10,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='EpochSeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ImageFiles',
        data_root=data_root,
        data_prefix='train',
        pipeline=train_pipeline))
