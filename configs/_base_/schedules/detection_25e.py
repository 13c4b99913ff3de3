# 25 epochs, total batch 64: mc-BEiT's Mask R-CNN of ViT-B on COCO, whose config builds on MIMDet's
# version of "Benchmarking Detection Transfer Learning with Vision Transformers" (arXiv 2111.11429).
# Ours: no weight decay on biases and layer scales.
optim_wrapper = dict(
    type='mmpretrain.ConMIMAmpOptimWrapper',
    # as published. Not bfloat16: mmdet's RPN places its anchors in this type, and bfloat16 rounds
    # positions between 512 and 1024 to steps of 4 pixels.
    dtype='float16',
    optimizer=dict(type='AdamW', lr=8e-5, betas=(0.9, 0.999), weight_decay=0.1, fused=True),
    constructor='mmpretrain.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        # 1: no decay of the rate with depth
        layer_decay_rate=1.,
        # no weight decay on biases, norms and layer scales ...
        flat_decay_mult=0.,
        # ... nor on these
        custom_keys=dict(
            cls_token=dict(decay_mult=0.),
            pos_embed=dict(decay_mult=0.),
            relative_position_bias_table=dict(decay_mult=0.))))

param_scheduler = dict(
    type='mmpretrain.WarmupCosineLR',
    warmup=0.25,
    eta_min=0.,
    by_epoch=True,
    convert_to_iter_based=True)

train_cfg = dict(type='mmpretrain.ResumableEpochLoop', max_epochs=25, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# --auto-scale-lr scales lr by (total batch / base_batch_size)
auto_scale_lr = dict(base_batch_size=64, enable=False)
