# ViT-S/16 fine-tuned on ImageNet at 224 px, 8 GPUs x 128 images. Ours: ViT-B's published recipe.
_base_ = [
    '../_base_/backbones/vit-s.py', '../_base_/models/classifier.py',
    '../_base_/datasets/imagenet_finetune_224.py', '../_base_/schedules/classification_adamw.py',
    '../_base_/classification_runtime.py'
]

model = dict(
    backbone=dict(
        # a pre-training checkpoint or an extracted backbone; init_cfg=None: random weights
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/vit-s_8xb256/epoch_300.pth',
            weights='teacher'),
        **_base_.backbone),
    head=dict(in_channels=_base_.backbone.arch.embed_dims))
