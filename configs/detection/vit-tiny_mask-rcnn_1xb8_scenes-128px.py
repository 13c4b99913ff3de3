# Mask R-CNN on the generated scenes with the demo's small ViT, within minutes on two cores. The
# recipe is ours.
_base_ = [
    '../_base_/backbones/vit-tiny.py', '../_base_/models/mask_rcnn_small.py',
    '../_base_/datasets/coco_scenes_128px.py', '../_base_/schedules/detection_short.py',
    '../_base_/detection_runtime.py'
]

# What is edited most often. On the command line name what these fill in, such as
# train_dataloader.dataset.data_root: MMEngine sets --cfg-options after this file has run.
data_root = 'data/scenes/coco/'
# a ConMIM checkpoint, or the file that extract_backbone.py makes of it
checkpoint = 'work_dirs/vit-tiny_1xb32_scenes-64px/iter_1400.pth'
batch_size = 8
max_iters = 350
learning_rate = 1e-3

num_classes = len(_base_.metainfo.classes)
# of the pyramid's levels: at this size, twice the scenes' own, objects are 8 to 50 pixels (square
# root of the area)
scales = (2, 1, 0.5)
strides = [int(_base_.backbone.patch_size / scale) for scale in scales]

model = dict(
    backbone=dict(
        _base_.backbone,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, weights='teacher')),
    neck=dict(
        in_channels=_base_.backbone.arch.embed_dims, scales=scales, num_outs=len(scales)),
    # 16, 32 and 64 pixels
    rpn_head=dict(anchor_generator=dict(strides=strides, scales=[4])),
    roi_head=dict(
        # a region of up to twice this side, in pixels, looks at the finest level
        bbox_roi_extractor=dict(featmap_strides=strides, finest_scale=14 * strides[0]),
        mask_roi_extractor=dict(featmap_strides=strides, finest_scale=14 * strides[0]),
        bbox_head=dict(num_classes=num_classes),
        mask_head=dict(num_classes=num_classes)))

train_dataloader = dict(batch_size=batch_size, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(lr=learning_rate))
param_scheduler = dict(warmup=max_iters // 10)
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
auto_scale_lr = dict(base_batch_size=batch_size)

default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=False, interval=max_iters, max_keep_ckpts=1))
log_processor = dict(by_epoch=False)
