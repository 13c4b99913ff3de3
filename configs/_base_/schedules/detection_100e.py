# 100 epochs, total batch 64: ViTDet's Mask R-CNN of ViT-B on COCO (arXiv 2203.16527). Ours: no
# weight decay on biases and layer scales.
max_epochs = 100

optim_wrapper = dict(
    type='mmpretrain.ConMIMAmpOptimWrapper',
    # as published. Not bfloat16: mmdet's RPN places its anchors in this type, and bfloat16 rounds
    # positions between 512 and 1024 to steps of 4 pixels.
    dtype='float16',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1, fused=True),
    constructor='mmpretrain.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        # per block, from the last one down; neck and heads have the full rate
        layer_decay_rate=0.7,
        # no weight decay on biases, norms and layer scales, nor on these two
        flat_decay_mult=0.,
        custom_keys=dict(cls_token=dict(decay_mult=0.), pos_embed=dict(decay_mult=0.))))

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=250),
    dict(
        type='MultiStepLR',
        # of 184375 iterations; here to the nearest epoch
        milestones=[round(max_epochs * step / 184375) for step in (163889, 177546)],
        gamma=0.1,
        by_epoch=True,
        begin=0,
        end=max_epochs),
]

train_cfg = dict(type='mmpretrain.ResumableEpochLoop', max_epochs=max_epochs, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# --auto-scale-lr scales lr by (total batch / base_batch_size)
auto_scale_lr = dict(base_batch_size=64, enable=False)
