# Trials of both at equal time, 4 minutes on one core each; some change what a step costs.
_here = '{{ fileDirname }}'
_ratio = 'train_dataloader.dataset.pipeline.1.mask_ratio'
_rate = 'optim_wrapper.optimizer.lr'
_decoder = {'model.neck.decoder_embed_dim': 128, 'model.neck.decoder_depth': 1}
_ours = {
    'targets of the last block': {'model.teacher.blocks': -1},
    'of the second': {'model.teacher.blocks': 1},
    'of the last, two masks of 32 images': {
        'model.teacher.blocks': -1, 'train_dataloader.batch_size': 32,
        'train_dataloader.dataset.pipeline.1.num_masks': 2},
    'of the last, half of the holes': {'model.teacher.blocks': -1, 'model.decoded_share': 0.5},
    'ratio 0.85': {_ratio: 0.85},
    'temperature 0.2': {'model.head.loss.temperature': 0.2},
    'momentum 0.97': {'default_hooks.teacher.momentum': 0.97},
    'narrow decoder and projector': {
        'model.decoder.feedforward_channels': 256, 'model.neck.hid_channels': 128},
    'recipe': {},
}
_mae = {
    'MAE, ratio 0.6': {'model.backbone.mask_ratio': 0.6},
    'MAE, ratio 0.85': {'model.backbone.mask_ratio': 0.85},
    'MAE, rate 1e-3': {_rate: 1e-3},
    'MAE, rate 3e-3': {_rate: 3e-3},
    'MAE, decoder of one block 128 wide': _decoder,
    'MAE': {},
}
budget = dict(seconds=240)
judges = f'{_here}/finetune.py'
finetunes = False
arms = {name: dict(config=f'{_here}/visible.py', options=options)
        for name, options in _ours.items()} | {
    name: dict(config=f'{_here}/mae.py', options=options) for name, options in _mae.items()}
