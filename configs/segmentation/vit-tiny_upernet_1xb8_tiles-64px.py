# UperNet on tiles of 13 bands with the small ViT, within seconds (docs/satellite.md): our recipe.
_base_ = 'vit-tiny_upernet_1xb8_camvid-160px.py'

# what is edited most often
data_root = 'data/tiles/'
checkpoint = 'runs/tiles.pth'
metainfo = dict(classes=('water', 'field', 'forest', 'town'),
                palette=[[0, 130, 200], [230, 200, 60], [60, 140, 75], [150, 150, 150]])
max_iters = 60
img_suffix = '.tif'
crop_size = (64, 64)
# as `conmim export --format mmpretrain` prints them
reading = dict(channels=13, value_range=(144., 5381.))
mean = (105.115, 144.785, 74.621, 127.11, 123.121, 97.974, 106.964, 85.848, 95.06, 100.221, 144.038,
        135.521, 123.758)
std = (78.573, 53.453, 50.053, 60.156, 41.444, 47.46, 59.902, 65.527, 44.78, 66.074, 37.45, 64.08,
       65.343)

patch_size = 16
num_classes = len(metainfo['classes'])
load = dict(type='mmpretrain.LoadImage', reading=reading)
train_pipeline = [
    load,
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=crop_size, ratio_range=(1., 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [load, dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
tta_pipeline = [load, _base_.tta_pipeline[1]]

model = dict(
    data_preprocessor=dict(
        type='mmpretrain.AnyChannelsDataPreprocessor', mean=mean, std=std, size=crop_size),
    backbone=dict(
        img_size=crop_size,
        patch_size=patch_size,
        in_channels=reading['channels'],
        init_cfg=dict(checkpoint=checkpoint)),
    neck=dict(rescales=[patch_size / stride for stride in _base_.strides]),
    decode_head=dict(num_classes=num_classes),
    auxiliary_head=dict(num_classes=num_classes),
    test_cfg=dict(crop_size=crop_size, stride=[2 * side // 3 for side in crop_size]))

data = dict(data_root=data_root, img_suffix=img_suffix, metainfo=metainfo)
workers = dict(num_workers=0, persistent_workers=False)  # so few files take no time
train_dataloader = dict(**workers, dataset=dict(data, pipeline=train_pipeline))
val_dataloader = dict(**workers, dataset=dict(data, pipeline=test_pipeline))
test_dataloader = val_dataloader

param_scheduler = dict(warmup=max_iters // 10)
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=max_iters))
