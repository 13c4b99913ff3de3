# Mask R-CNN with ViT-L/16, COCO, 25 epochs, 8 GPUs x 8 images. Ours: B's recipe, more drop path
_base_ = [
    '../_base_/models/vit-l_mask-rcnn_coco-1024px.py',
    '../_base_/schedules/detection_25e.py'
]

# ours: between B's and the 0.4 of ViTDet-L's 100 epochs
model = dict(backbone=dict(drop_path_rate=0.2))
