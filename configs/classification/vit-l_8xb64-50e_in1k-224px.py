# ViT-L/16 fine-tuned on ImageNet at 224 px, 8 GPUs x 64 images x 2 batches a step: BEiT-L's recipe
_base_ = [
    '../_base_/backbones/vit-l.py', '../_base_/models/classifier.py',
    '../_base_/datasets/imagenet_finetune_224.py', '../_base_/schedules/classification_adamw.py',
    '../_base_/classification_runtime.py'
]

model = dict(
    backbone=dict(
        drop_path_rate=0.2,
        # a pre-training checkpoint or an extracted backbone; init_cfg=None: random weights
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/vit-l_32xb64/epoch_1600.pth',
            weights='teacher'),
        **_base_.backbone),
    head=dict(in_channels=_base_.backbone.arch.embed_dims))

train_dataloader = dict(batch_size=64)

optim_wrapper = dict(
    optimizer=dict(lr=1e-3), paramwise_cfg=dict(layer_decay_rate=0.75), accumulative_counts=2)

param_scheduler = dict(warmup=5)
train_cfg = dict(max_epochs=50)
