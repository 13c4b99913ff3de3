# The small ViT fine-tuned on a few labels of the generated scenes, within minutes on two cores.
_base_ = [
    '../_base_/backbones/vit-tiny.py', '../_base_/models/classifier.py',
    '../_base_/datasets/imagenet_linear_224.py', '../_base_/schedules/classification_adamw.py',
    '../_base_/classification_runtime.py'
]

# What is edited most often. On the command line --data-root DIR sets the first; of the others name
# what they fill in, as MMEngine sets --cfg-options after this file has run.
data_root = 'data/scenes/imagenet/'
num_classes = 10
images_per_class = 30  # with labels to learn from; None: all
batch_size = 32
max_iters = 250
learning_rate = 1e-3

img_size = _base_.backbone.img_size

# conmim/ has a config of this name
work_dir = 'work_dirs/classification/vit-tiny_1xb32_scenes-64px'

model = dict(
    backbone=dict(
        drop_path_rate=0.,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/vit-tiny_1xb32_scenes-64px/iter_1400.pth',
            weights='teacher'),
        **_base_.backbone),
    head=dict(in_channels=_base_.backbone.arch.embed_dims, num_classes=num_classes),
    train_cfg=None,
    data_preprocessor=dict(num_classes=num_classes))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResizedCrop',
        scale=img_size,
        crop_ratio_range=(0.5, 1.),
        backend='pillow',
        interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='ResizeEdge',
        scale=img_size,
        edge='short',
        backend='pillow',
        interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=img_size),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    sampler=dict(_delete_=True, type='InfiniteSeededSampler', shuffle=True),
    dataset=dict(
        _delete_=True,
        type='ImageFiles',
        data_root=data_root,
        data_prefix='train',
        with_label=True,
        images_per_class=images_per_class,
        pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        _delete_=True,
        type='ImageFiles',
        data_root=data_root,
        data_prefix='val',
        with_label=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(topk=(1, ))
test_evaluator = val_evaluator

optim_wrapper = dict(
    optimizer=dict(lr=learning_rate), paramwise_cfg=dict(layer_decay_rate=0.75))

param_scheduler = dict(
    _delete_=True, type='WarmupCosineLR', warmup=max_iters // 10, eta_min=1e-6, by_epoch=False)

train_cfg = dict(
    _delete_=True, type='mmpretrain.ResumableIterLoop', max_iters=max_iters, val_interval=max_iters)

auto_scale_lr = dict(base_batch_size=batch_size)

default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=False, interval=max_iters, max_keep_ckpts=1))
log_processor = dict(by_epoch=False)
