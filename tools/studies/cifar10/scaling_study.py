# What becomes of the recipe in longer runs and in a wider ViT, and what of it to change there; 15
# minutes on one core.
_here = '{{ fileDirname }}'
_load = 'train_dataloader.dataset.pipeline.0'
_fixed = {'default_hooks.teacher.momentum': 0.99}
_pixels = {
    'model.teacher.type': 'TokensAndPixelsTeacher',
    'model.neck.out_channels': 128 + 48,
    'model.head.type': 'TokensAndPixelsHead',
    'model.head.num_pixels': 48}
_changes = {
    'recipe': {},
    'momentum 0.99': _fixed,
    'momentum 0.996': {'default_hooks.teacher.momentum': 0.996},
    'crops from 40 %': _fixed | {f'{_load}.scale': (0.4, 1.), f'{_load}.ratio': (3 / 4, 4 / 3)},
    'second block': _fixed | {'model.teacher.blocks': 1},
    'tokens and pixels, momentum 0.99': _fixed | _pixels,
    'tokens and pixels': _pixels,
    'pixels alone': {'model.teacher.type': 'PixelsTeacher', 'model.neck.out_channels': 48},
}
_wide = {'model.backbone.arch.embed_dims': 256, 'model.backbone.arch.feedforward_channels': 1024}
_ours_wide = _wide | {
    'model.decoder.embed_dims': 256,
    'model.neck.in_channels': 256,
    'model.neck.hid_channels': 512,
    'model.neck.out_channels': 256}
_mae_wide = _wide | {'model.neck.embed_dim': 256, 'model.neck.decoder_embed_dim': 128}
budget = dict(seconds=900)
judges = f'{_here}/finetune.py'
finetunes = [dict(labels=100, steps=240)]
arms = {name: dict(config=f'{_here}/visible.py', options=options)
        for name, options in _changes.items()} | {
    'MAE': dict(config=f'{_here}/mae.py'),
    'MAE, 256 wide': dict(config=f'{_here}/mae.py', options=_mae_wide),
    'recipe, 256 wide': dict(config=f'{_here}/visible.py', options=_ours_wide),
    'random weights, 256 wide': dict(
        config=f'{_here}/visible.py', options=_ours_wide, untrained=True),
}
