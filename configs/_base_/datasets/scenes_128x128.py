# Generated scenes in ADE20K's layout; tools/dataset_converters/make_scenes.py OUT writes OUT/ade.
# Loaded as CamVid is.
_base_ = 'camvid_160x160.py'

data_root = 'data/scenes/ade/'
crop_size = (128, 128)
scale = crop_size
metainfo = dict(
    classes=('background', 'butterfly', 'car', 'cup', 'fish', 'flower', 'house', 'key', 'ladder',
             'star', 'tree'),
    palette=[[230, 230, 230], [230, 25, 75], [60, 180, 75], [255, 225, 25], [0, 130, 200],
             [245, 130, 48], [145, 30, 180], [70, 240, 240], [240, 50, 230], [128, 128, 0],
             [0, 128, 128]])

train_pipeline = _base_.train_pipeline
train_pipeline[2:4] = [
    dict(type='RandomResize', scale=scale, ratio_range=(0.8, 1.25), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = scale
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0] = [
    dict(type='Resize', scale=(int(scale[0] * ratio), int(scale[1] * ratio)), keep_ratio=True)
    for ratio in (1.0, 1.5)
]

train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        metainfo=metainfo,
        # a map's 0 means no label, 1 is the background, 2 to 11 are the classes
        reduce_zero_label=True,
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        metainfo=metainfo,
        reduce_zero_label=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
