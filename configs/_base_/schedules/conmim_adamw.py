# AdamW and a step-wise cosine; total batch 2048. lr and clip_grad of S and B are those of mc-BEiT's
# README for its B: ConMIM's own were not published.
optim_wrapper = dict(
    type='ConMIMAmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(
        type='AdamW', lr=1.5e-3, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=3.0),
    constructor='MergedOptimWrapperConstructor',
    paramwise_cfg=dict(
        # no weight decay on biases, norms and layer scales ...
        flat_decay_mult=0.,
        custom_keys=dict(
            # ... nor on these two
            cls_token=dict(decay_mult=0.),
            pos_embed=dict(decay_mult=0.),
            # The table starts at 0, and until it has grown to a few units nothing tells two holes
            # apart. 1 is the original's rate; short schedules and small data need more (see
            # docs/learning.md).
            relative_position_bias_table=dict(lr_mult=1., decay_mult=1.))))

param_scheduler = dict(
    type='WarmupCosineLR', warmup=10, eta_min=1e-5, by_epoch=True, convert_to_iter_based=True)

train_cfg = dict(type='mmpretrain.ResumableEpochLoop', max_epochs=300)

# --auto-scale-lr scales lr by (total batch / base_batch_size)
auto_scale_lr = dict(base_batch_size=2048, enable=False)
