# Ours, for a few hundred iterations on a CPU; the inheriting config sets the lengths.
optim_wrapper = dict(
    # float32: mmcv's operators know no bfloat16
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=3.0),
    constructor='mmpretrain.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        # per block, from the last one down; neck and heads have the full rate
        layer_decay_rate=0.75,
        # no weight decay on biases, norms and layer scales, nor on these two
        flat_decay_mult=0.,
        custom_keys=dict(cls_token=dict(decay_mult=0.), pos_embed=dict(decay_mult=0.))))

param_scheduler = dict(type='mmpretrain.WarmupCosineLR', eta_min=1e-5, by_epoch=False)

train_cfg = dict(type='mmpretrain.ResumableIterLoop')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

auto_scale_lr = dict(enable=False)
