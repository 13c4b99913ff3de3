# A linear classifier on the frozen backbone, which the inheriting config puts in. Batch norm
# without affine parameters, the head's initialisation and no label smoothing are MAE's
# (arXiv 2111.06377, appendix A.1); the mean of the patch tokens in place of its class token: ours.
num_classes = 1000
model = dict(
    type='ImageClassifier',
    # normalised patch tokens; the neck takes their mean
    backbone=dict(out_type='featmap'),
    head=dict(
        type='LinearClsHead',
        num_classes=num_classes,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.01)),
    # ImageNet mean and standard deviation, RGB, in grey levels
    data_preprocessor=dict(
        type='ClsDataPreprocessor',
        num_classes=num_classes,
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        to_rgb=True))
