# Mask R-CNN with ViT-B/16, COCO, 100 epochs, 8 GPUs x 8 images: ViTDet-B's recipe
_base_ = [
    '../_base_/models/vit-b_mask-rcnn_coco-1024px.py',
    '../_base_/schedules/detection_100e.py'
]
