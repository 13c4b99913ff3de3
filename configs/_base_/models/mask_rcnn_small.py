# A Mask R-CNN small enough to learn on two CPU cores. The sizes are ours.
_base_ = 'mask_rcnn.py'

channels = 64

model = dict(
    backbone=dict(drop_path_rate=0., window_size=None),
    # what all tokens share after a short pre-training is taken out; SyncBN on several GPUs
    neck=dict(out_channels=channels, input_norm_cfg=dict(type='BN', affine=False)),
    rpn_head=dict(in_channels=channels, feat_channels=channels, num_convs=1),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels),
        bbox_head=dict(
            in_channels=channels,
            num_shared_convs=0,
            conv_out_channels=channels,
            num_shared_fcs=2,
            fc_out_channels=128),
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(num_convs=2, in_channels=channels, conv_out_channels=channels)),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=300, max_per_img=100),
        rcnn=dict(sampler=dict(num=32))),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=100)))
