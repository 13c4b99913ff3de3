# UperNet on X-rays of 12 bits with the small ViT, within seconds (docs/xrays.md): our recipe.
_base_ = 'vit-tiny_upernet_1xb8_tiles-64px.py'

# what is edited most often
data_root = 'data/x-rays/'
metainfo = dict(classes=('background', 'tissue', 'lung', 'bone'),
                palette=[[0, 0, 0], [230, 200, 160], [60, 130, 200], [255, 255, 255]])
# as `conmim export --format mmpretrain` prints them
reading = dict(channels=1, value_range=(0., 4095.))
mean, std = (61.548, ), (54.288, )
train_pipeline = [dict(type='mmpretrain.LoadImage', reading=reading), *_base_.train_pipeline[1:]]
test_pipeline = [train_pipeline[0], *_base_.test_pipeline[1:]]
tta_pipeline = [train_pipeline[0], *_base_.tta_pipeline[1:]]

model = dict(
    data_preprocessor=dict(mean=mean, std=std),
    backbone=dict(in_channels=1, init_cfg=dict(checkpoint='runs/x-rays.pth')))
data = dict(data_root=data_root, img_suffix='.dcm', metainfo=metainfo)
train_dataloader = dict(dataset=dict(data, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data, pipeline=test_pipeline))
test_dataloader = val_dataloader
