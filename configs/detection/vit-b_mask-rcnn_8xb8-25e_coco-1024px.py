# Mask R-CNN with ViT-B/16, COCO, 25 epochs, 8 GPUs x 8 images: mc-BEiT's recipe (there with an FPN)
_base_ = [
    '../_base_/models/vit-b_mask-rcnn_coco-1024px.py',
    '../_base_/schedules/detection_25e.py'
]
