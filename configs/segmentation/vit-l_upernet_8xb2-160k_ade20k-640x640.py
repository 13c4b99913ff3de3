# UperNet with ViT-L/16 at 640 pixels, ADE20K, 160k iterations, 8 GPUs x 2 images; else as at 512.
# Too much for the GPU? model.backbone.with_cp=True takes less memory and more time.
_base_ = 'vit-l_upernet_8xb2-160k_ade20k-512x512.py'

crop_size = (640, 640)
scale = (4 * crop_size[1], crop_size[0])

model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(img_size=crop_size),
    test_cfg=dict(crop_size=crop_size, stride=[2 * side // 3 for side in crop_size]))

train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = scale
train_pipeline[3].crop_size = crop_size
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = scale
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0] = [
    dict(type='Resize', scale=(int(scale[0] * ratio), int(scale[1] * ratio)), keep_ratio=True)
    for ratio in _base_.tta_ratios
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
