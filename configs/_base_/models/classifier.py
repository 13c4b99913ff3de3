# Fine-tuning a classifier; the inheriting config puts the backbone in.
num_classes = 1000
model = dict(
    type='ImageClassifier',
    backbone=dict(
        out_type='avg_featmap',
        use_shared_rel_pos_bias=False,
        use_rel_pos_bias=True,
        drop_path_rate=0.1),
    head=dict(
        type='LinearClsHead',
        num_classes=num_classes,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        # BEiT's: a normal of std 0.02 cut at one std, times an init_scale of 0.001
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5, a=-2e-5, b=2e-5)),
    # one of the two for every batch; None switches both off
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8),
                             dict(type='CutMix', alpha=1.0)]),
    # ImageNet mean and standard deviation, RGB, in grey levels
    data_preprocessor=dict(
        type='ClsDataPreprocessor',
        num_classes=num_classes,
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        to_rgb=True))
