# ConMIM around a backbone, which the inheriting config puts in.
model = dict(
    type='ConMIM',
    backbone=dict(use_mask_token=True),
    neck=dict(type='ConMIMProjector', hid_channels=4096, out_channels=256),
    head=dict(type='ConMIMHead', loss=dict(type='PatchInfoNCELoss', temperature=0.1)),
    teacher=dict(type='EMATeacher'),
    # ImageNet mean and standard deviation, RGB, in grey levels
    data_preprocessor=dict(
        type='ConMIMDataPreprocessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375)))
