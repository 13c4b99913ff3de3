# UperNet with ViT-B/16, ADE20K, 160k iterations, 8 GPUs x 2 images: BEiT's recipe for its
# self-supervised B
_base_ = [
    '../_base_/backbones/vit-b.py', '../_base_/models/upernet.py',
    '../_base_/datasets/ade20k_512x512.py', '../_base_/schedules/segmentation_160k.py',
    '../_base_/segmentation_runtime.py'
]

# a ConMIM checkpoint, or the file that extract_backbone.py makes of it
checkpoint = 'work_dirs/vit-b_8xb256/epoch_800.pth'

crop_size = _base_.crop_size
width = _base_.backbone.arch.embed_dims
depth = _base_.backbone.arch.num_layers
patch_size = _base_.backbone.patch_size
strides = _base_.strides

model = dict(
    data_preprocessor=dict(size=crop_size, test_cfg=dict(size_divisor=strides[-1])),
    backbone=dict(
        _base_.backbone,
        img_size=crop_size,
        # after a third, half, two thirds and all of the blocks, as BEiT
        out_indices=[round(depth * part) - 1 for part in (1 / 3, 1 / 2, 2 / 3, 1)],
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, weights='teacher')),
    neck=dict(embed_dim=width, rescales=[patch_size / stride for stride in strides]),
    decode_head=dict(in_channels=[width] * 4, channels=width),
    auxiliary_head=dict(in_channels=width),
    test_cfg=dict(crop_size=crop_size, stride=[2 * side // 3 for side in crop_size]))
