# Mask R-CNN with ViT-S/16, COCO, 100 epochs, 8 GPUs x 8 images. Ours: B's recipe
_base_ = [
    '../_base_/models/vit-s_mask-rcnn_coco-1024px.py',
    '../_base_/schedules/detection_100e.py'
]
