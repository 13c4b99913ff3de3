# Mask R-CNN with ViT-S/16 on COCO: all but the schedule
_base_ = [
    '../backbones/vit-s.py', 'mask_rcnn.py', '../datasets/coco_lsj_1024px.py',
    '../detection_runtime.py'
]

# a ConMIM checkpoint, or the file that conmim export makes of it
checkpoint = 'work_dirs/vit-s_8xb256/epoch_300.pth'

depth = _base_.backbone.arch.num_layers
# the last block of each quarter of the depth; all others attend within windows
global_blocks = [depth * quarter // 4 - 1 for quarter in (1, 2, 3, 4)]
# of the pyramid's levels, in pixels
strides = [_base_.backbone.patch_size * step // 4 for step in (1, 2, 4, 8, 16)]

model = dict(
    # every image becomes the square that is trained on, as in ViTDet; less is faster to test
    data_preprocessor=dict(pad_size_divisor=_base_.image_size[0]),
    backbone=dict(
        _base_.backbone,
        drop_path_rate=0.1,
        window_blocks=[block for block in range(depth) if block not in global_blocks],
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, weights='teacher')),
    neck=dict(in_channels=_base_.backbone.arch.embed_dims),
    rpn_head=dict(anchor_generator=dict(strides=strides)),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=strides[:4]),
        mask_roi_extractor=dict(featmap_strides=strides[:4])))
