# vit-b_8xb256.py on tar shards (tools/dataset_converters/make_shards.py writes them)
_base_ = './vit-b_8xb256.py'

data_root = 'data/imagenet-shards/'

train_dataloader = dict(
    # after a change of batch_size or num_workers, change these too
    sampler=dict(
        type='ShardSequentialSampler',
        batch_size={{_base_.train_dataloader.batch_size}},
        streams={{_base_.train_dataloader.num_workers}},
        window=4),
    # train/*.tar below data_root
    dataset=dict(type='TarShards', data_root=data_root, shards='*.tar'))
