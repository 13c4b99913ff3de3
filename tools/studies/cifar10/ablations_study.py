# The paper's claims at the setting of our recipe, one thing changed at a time, 60,000 images each.
_here = '{{ fileDirname }}'
_perturbation = 'train_dataloader.dataset.pipeline.0.perturbation'
_mask = 'train_dataloader.dataset.pipeline.1'
_tables = {
    'model.backbone.use_sincos_pos_emb': False, 'model.backbone.rel_pos_init_slope': 2.,
    'optim_wrapper.paramwise_cfg.custom_keys.relative_position_bias_table': dict(
        lr_mult=10., decay_mult=0.)}
_changes = {
    'recipe': {},
    'no momentum teacher': {
        'default_hooks.teacher.momentum': 0., 'default_hooks.teacher.end_momentum': 0.},
    'view of the teacher perturbed': {
        _perturbation: dict(type='TeacherPerturbation', _delete_=True)},
    'both views perturbed': {_perturbation: dict(type='PerturbationOfBoth', _delete_=True)},
    'blocks of two patches': {f'{_mask}.block_size': 8},
    'one table for all blocks': _tables | {'model.backbone.use_shared_rel_pos_bias': True},
    'a table per block': _tables | {'model.backbone.use_rel_pos_bias': True},
    'pixels in the place of tokens': {
        'model.teacher.type': 'PixelsTeacher', 'model.neck.out_channels': 48},
}
budget = dict(images=60000)
judges = f'{_here}/finetune.py'
arms = {name: dict(config=f'{_here}/visible.py', options=options)
        for name, options in _changes.items()} | {'MAE': dict(config=f'{_here}/mae.py')}
