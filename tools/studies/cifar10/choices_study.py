# What the recipe of visible patches was chosen by: one thing changed at a time, 60,000 images each.
_here = '{{ fileDirname }}'
_plain = {'model.backbone.layer_scale_init_value': 0., 'default_hooks.teacher.momentum': 0.99}
_tables = {
    'model.backbone.use_sincos_pos_emb': False,
    'model.backbone.use_shared_rel_pos_bias': True,
    'optim_wrapper.paramwise_cfg.custom_keys.relative_position_bias_table': dict(
        lr_mult=10., decay_mult=0.)}
_changes = {
    'recipe, no layer scale': {},
    'the original initialisation': {
        'model.backbone.init_cfg': None, 'model.decoder.init_cfg': None},
    'relative tables': _tables,
    'relative tables, slope 2': _tables | {'model.backbone.rel_pos_init_slope': 2.},
    'rate 4e-3': {'optim_wrapper.optimizer.lr': 4e-3},
    'momentum 0.97': {'default_hooks.teacher.momentum': 0.97},
    'targets of three blocks': {'model.teacher.blocks': (1, 2, 3)},
    'recipe': {'model.backbone.layer_scale_init_value': 1.},
    'batches of 32': {
        'model.backbone.layer_scale_init_value': 1.,
        'default_hooks.teacher.momentum': None,  # as the recipe has it now
        'train_dataloader.batch_size': 32,
        'optim_wrapper.optimizer.lr': 1.4e-3},
}
budget = dict(images=60000)
judges = f'{_here}/finetune.py'
arms = {
    name: dict(config=f'{_here}/visible.py', options=_plain | changes)
    for name, changes in _changes.items()
} | {
    'MAE': dict(config=f'{_here}/mae.py'),
    'MAE, rate 4e-3': dict(config=f'{_here}/mae.py', options={'optim_wrapper.optimizer.lr': 4e-3}),
}
