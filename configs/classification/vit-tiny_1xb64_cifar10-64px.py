# The small ViT fine-tuned on CIFAR-10 in folders (cifar10/{train,test}/CLASS/*), enlarged to 64 px.
_base_ = 'vit-tiny_1xb32_scenes-64px.py'

# what is edited most often; see the base config for the command line
data_root = 'data/cifar10/'
images_per_class = 100
batch_size = 64
max_iters = 300

work_dir = 'work_dirs/classification/vit-tiny_1xb64_cifar10-64px'

train_dataloader = dict(
    batch_size=batch_size, dataset=dict(data_root=data_root, images_per_class=images_per_class))
val_dataloader = dict(dataset=dict(data_root=data_root, data_prefix='test'))
test_dataloader = val_dataloader

param_scheduler = dict(warmup=max_iters // 10)
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
auto_scale_lr = dict(base_batch_size=batch_size)
default_hooks = dict(checkpoint=dict(interval=max_iters))
