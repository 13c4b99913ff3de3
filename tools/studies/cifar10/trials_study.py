# Trials of both at equal time, 4 minutes on one core each; some change what a step costs.
_here = '{{ fileDirname }}'
_ratio = 'train_dataloader.dataset.pipeline.1.mask_ratio'
_rate = 'optim_wrapper.optimizer.lr'
_decoder = {'model.neck.decoder_embed_dim': 128, 'model.neck.decoder_depth': 1}
_view = 'train_dataloader.dataset.pipeline.0.perturbation'
_full = dict(type='TeacherPerturbation', _delete_=True)  # in the place of None
_weak = dict(_full, brightness=0.2, contrast=0.2, saturation=0.1, hue=0.05, grey_prob=0.,
             blur_prob=0., solarise_prob=0.)
_fixed = {'default_hooks.teacher.momentum': 0.99}  # as the recipe had it
_third = {'model.teacher.blocks': 2}  # whose tokens are the targets, of four
_ours = {
    'third block': _third,
    'second block': {'model.teacher.blocks': 1},
    'two masks of 32 images': {
        'train_dataloader.batch_size': 32,
        'train_dataloader.dataset.pipeline.1.num_masks': 2},
    'half of the holes': {'model.decoded_share': 0.5},
    'third block, ratio 0.85': _third | {_ratio: 0.85},
    'third block, temperature 0.2': _third | {'model.head.loss.temperature': 0.2},
    'third block, momentum 0.97': _third | {'default_hooks.teacher.momentum': 0.97},
    'third block, narrow decoder and projector': _third | {
        'model.decoder.feedforward_channels': 256, 'model.neck.hid_channels': 128},
    'ratio 0.6': {_ratio: 0.6},
    'ratio 0.85': {_ratio: 0.85},
    'temperature 0.05': {'model.head.loss.temperature': 0.05},
    'rate 3e-3': {_rate: 3e-3},
    'full perturbation': {_view: _full},
    'weak perturbation': {_view: _weak},
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
arms = {name: dict(config=f'{_here}/visible.py', options=_fixed | options)
        for name, options in _ours.items()} | {
    name: dict(config=f'{_here}/mae.py', options=options) for name, options in _mae.items()}
