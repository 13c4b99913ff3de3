# Fine-tuning: AdamW, layer-wise decay and a step-wise cosine; total batch 1024. The published
# command line of ViT-B (which is BEiT's); what it leaves out are the defaults of the original code.
optim_wrapper = dict(
    type='ConMIMAmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(
        type='AdamW', lr=4e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05, fused=True),
    constructor='LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        # the last block has this times the head's rate, the one before its square, and so on
        layer_decay_rate=0.65,
        # no weight decay on biases, norms and layer scales ...
        flat_decay_mult=0.,
        # ... nor on these two
        custom_keys=dict(cls_token=dict(decay_mult=0.), pos_embed=dict(decay_mult=0.))))

param_scheduler = dict(
    type='WarmupCosineLR', warmup=20, eta_min=1e-6, by_epoch=True, convert_to_iter_based=True)

train_cfg = dict(type='mmpretrain.ResumableEpochLoop', max_epochs=100, val_interval=1)
val_cfg = dict()
test_cfg = dict()

# --auto-scale-lr scales lr by (total batch / base_batch_size)
auto_scale_lr = dict(base_batch_size=1024, enable=False)
