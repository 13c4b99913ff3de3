# Linear probing as MAE does it (arXiv 2111.06377, appendix A.1): LARS, no weight decay, a warm-up
# of 10 of 90 epochs, then a cosine to 0; total batch 16384.
base_lr = 0.1
total_batch_size = 16384

optim_wrapper = dict(
    type='ConMIMAmpOptimWrapper',
    dtype='bfloat16',
    # a rate of base_lr for 256 images
    optimizer=dict(
        type='LARS', lr=base_lr * total_batch_size / 256, momentum=0.9, weight_decay=0.),
    # MMEngine's own: it hands LARS the exception below
    constructor='DefaultOptimWrapperConstructor',
    # only matrices have their rate adapted, as in MAE's code
    paramwise_cfg=dict(custom_keys={'head.fc.bias': dict(lars_exclude=True)}))

param_scheduler = dict(
    type='WarmupCosineLR', warmup=10, eta_min=0., by_epoch=True, convert_to_iter_based=True)

train_cfg = dict(type='mmpretrain.ResumableEpochLoop', max_epochs=90, val_interval=1)
val_cfg = dict()
test_cfg = dict()

# --auto-scale-lr scales lr by (total batch / base_batch_size)
auto_scale_lr = dict(base_batch_size=total_batch_size, enable=False)
