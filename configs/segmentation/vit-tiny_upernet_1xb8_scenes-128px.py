# UperNet on generated scenes with the demo's small ViT, within minutes on two cores: our recipe.
_base_ = [
    '../_base_/backbones/vit-tiny.py', '../_base_/models/upernet.py',
    '../_base_/datasets/scenes_128x128.py', '../_base_/schedules/segmentation_short.py',
    '../_base_/segmentation_runtime.py'
]

# what is edited most often
data_root = 'data/scenes/ade/'
# a ConMIM checkpoint, or the file that extract_backbone.py makes of it
checkpoint = 'work_dirs/vit-tiny_1xb32_scenes-64px/iter_1400.pth'
batch_size = 8
max_iters = 400
learning_rate = 3e-3

crop_size = _base_.crop_size
num_classes = len(_base_.metainfo.classes)
width = _base_.backbone.arch.embed_dims
depth = _base_.backbone.arch.num_layers
patch_size = _base_.backbone.patch_size
strides = (4, 8, 16, 32)

# batch norm of one process: SyncBN needs GPUs
norm_cfg = dict(type='BN', requires_grad=True)
channels = 64
# five sixths of the pixels are background, and without weights a short run sees nothing else
class_weight = [0.2] + [1.0] * (num_classes - 1)

model = dict(
    data_preprocessor=dict(size=crop_size, test_cfg=dict(size_divisor=strides[-1])),
    backbone=dict(
        _base_.backbone,
        img_size=crop_size,
        # after a third, half, two thirds and all of the blocks, as BEiT
        out_indices=[round(depth * part) - 1 for part in (1 / 3, 1 / 2, 2 / 3, 1)],
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, weights='teacher')),
    neck=dict(
        embed_dim=width,
        rescales=[patch_size / stride for stride in strides],
        norm_cfg=norm_cfg),
    decode_head=dict(
        in_channels=[width] * 4,
        channels=channels,
        num_classes=num_classes,
        norm_cfg=norm_cfg,
        loss_decode=dict(class_weight=class_weight)),
    auxiliary_head=dict(
        in_channels=width,
        channels=channels,
        num_classes=num_classes,
        norm_cfg=norm_cfg,
        loss_decode=dict(class_weight=class_weight)),
    test_cfg=dict(crop_size=crop_size, stride=[2 * side // 3 for side in crop_size]))

train_dataloader = dict(batch_size=batch_size, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=learning_rate))
param_scheduler = dict(warmup=max_iters // 10)
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
auto_scale_lr = dict(base_batch_size=batch_size)

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=max_iters))
