# BEiT's fine-tuning of its self-supervised B on ADE20K: AdamW, layer-wise decay of the rate, 16
# images a step, 1500 iterations of warm-up, then linearly to 0, no clipping. Mixed precision is
# bfloat16 (BEiT's: float16).
max_iters = 160000

optim_wrapper = dict(
    type='mmpretrain.ConMIMAmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=7e-4, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    constructor='mmpretrain.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        # per block, from the last one down; neck and heads have the full rate
        layer_decay_rate=0.65,
        # no weight decay on biases, norms and layer scales, nor on these two
        flat_decay_mult=0.,
        custom_keys=dict(cls_token=dict(decay_mult=0.), pos_embed=dict(decay_mult=0.))))

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0., by_epoch=False, begin=1500, end=max_iters),
]

train_cfg = dict(type='mmpretrain.ResumableIterLoop', max_iters=max_iters, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# --auto-scale-lr scales lr by (total batch / base_batch_size)
auto_scale_lr = dict(base_batch_size=16, enable=False)
