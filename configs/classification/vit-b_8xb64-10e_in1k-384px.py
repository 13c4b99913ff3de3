# ViT-B/16 fine-tuned further at 384 px, from the classifier of vit-b_8xb128-100e_in1k-224px.py,
# for 10 % of its epochs (the paper's); 8 GPUs x 64 images
_base_ = 'vit-b_8xb128-100e_in1k-224px.py'

img_size = 384
classifier = 'work_dirs/vit-b_8xb128-100e_in1k-224px/epoch_100.pth'

model = dict(
    backbone=dict(img_size=img_size, init_cfg=dict(checkpoint=classifier)),
    head=dict(
        init_cfg=dict(
            _delete_=True, type='StrictPretrained', checkpoint=classifier, prefix='head.')))

train_pipeline = _base_.train_pipeline
train_pipeline[1].scale = img_size

test_pipeline = _base_.test_pipeline
# at 384 the original code crops nothing but the longer side
test_pipeline[1].scale = img_size
test_pipeline[2].crop_size = img_size

train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# Ours, as nothing was published: what BEiT continues an already fine-tuned classifier with.
optim_wrapper = dict(
    optimizer=dict(lr=2e-5, weight_decay=1e-8), paramwise_cfg=dict(layer_decay_rate=0.85))
param_scheduler = dict(warmup=1)

train_cfg = dict(max_epochs=_base_.train_cfg.max_epochs // 10)
auto_scale_lr = dict(base_batch_size=512)
