# Ours, for a few hundred iterations on a CPU; the inheriting config sets the lengths.
_base_ = 'segmentation_160k.py'

optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(layer_decay_rate=0.75))

param_scheduler = dict(
    _delete_=True, type='mmpretrain.WarmupCosineLR', eta_min=1e-5, by_epoch=False)
