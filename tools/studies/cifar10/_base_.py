# What all methods of a study on CIFAR-10 share: images, crops, batch, ViT, optimizer, schedule.
_base_ = ['../../../configs/_base_/schedules/conmim_adamw.py',
          '../../../configs/_base_/default_runtime.py']

data_root = 'data/cifar10/'
img_size = 32
patch_size = 4
batch_size = 64
max_iters = 1000  # the study's budget comes in its place
arch = dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512)

# whole images, flipped: crops cost short runs more than they bring
load = dict(type='LoadTwoViews', size=img_size, scale=(1., 1.), ratio=(1., 1.), perturbation=None)

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=0,
    drop_last=True,
    sampler=dict(type='InfiniteSeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='ImageFiles', data_root=data_root, data_prefix='train'))

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = dict(
    _delete_=True, type='WarmupCosineLR', warmup=100, eta_min=1e-5, by_epoch=False)
train_cfg = dict(_delete_=True, type='mmpretrain.ResumableIterLoop', max_iters=max_iters)
auto_scale_lr = dict(base_batch_size=batch_size)

default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(by_epoch=False, interval=500, max_keep_ckpts=1),
    report=None,
    live=None)
log_processor = dict(by_epoch=False)
