# Mask R-CNN with ViT-L/16, COCO, 100 epochs, 8 GPUs x 8 images: ViTDet-L's recipe
_base_ = [
    '../_base_/models/vit-l_mask-rcnn_coco-1024px.py',
    '../_base_/schedules/detection_100e.py'
]

model = dict(backbone=dict(drop_path_rate=0.4))

optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
