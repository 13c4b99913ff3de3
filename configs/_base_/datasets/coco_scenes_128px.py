# Generated scenes in COCO's layout; tools/dataset_converters/make_scenes.py OUT writes OUT/coco.
_base_ = 'coco_lsj_1024px.py'

data_root = 'data/scenes/coco/'
image_size = (128, 128)
metainfo = dict(
    classes=('butterfly', 'car', 'cup', 'fish', 'flower', 'house', 'key', 'ladder', 'star', 'tree'),
    palette=[[230, 25, 75], [60, 180, 75], [255, 225, 25], [0, 130, 200], [245, 130, 48],
             [145, 30, 180], [70, 240, 240], [240, 50, 230], [128, 128, 0], [0, 128, 128]])

train_pipeline = [
    dict(type='LoadImageFromFile'),
    # the scenes' masks are uncompressed run-length codes, which poly2mask=False would drop
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=True),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    # after the resizing: the evaluation is in the image's own size
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

train_dataloader = dict(
    num_workers=2,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        filter_cfg=dict(_delete_=True, filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=2,
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator
