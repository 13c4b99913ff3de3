# UperNet around a plain ViT, which the inheriting config puts in along with every width. The
# numbers are those of BEiT's UperNet.
norm_cfg = dict(type='SyncBN', requires_grad=True)
# of the four maps that the pyramid makes of the backbone's, in pixels
strides = (4, 8, 16, 32)

model = dict(
    type='EncoderDecoder',
    # ImageNet mean and standard deviation, RGB, in grey levels. Images are normalised before they
    # are padded, so 0 pads with the mean colour; 255 pads the map and is ignored.
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255),
    backbone=dict(
        out_type='featmap',
        use_shared_rel_pos_bias=False,
        use_rel_pos_bias=True,
        drop_path_rate=0.1),
    neck=dict(type='Feature2Pyramid', norm_cfg=norm_cfg),
    decode_head=dict(
        type='UPerHead',
        num_classes=150,
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        dropout_ratio=0.1,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
    auxiliary_head=dict(
        type='FCNHead',
        num_classes=150,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4)),
    train_cfg=dict(),
    # or mode='whole': the whole image at once
    test_cfg=dict(mode='slide'))
