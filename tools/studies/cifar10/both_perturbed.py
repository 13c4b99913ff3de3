# The student of visible patches with both views perturbed, each in its own way.
_base_ = 'visible_perturbed.py'
custom_imports = dict(imports=['conmim_mm.registration', 'peers'], allow_failed_imports=False)
train_dataloader = dict(dataset=dict(pipeline=[
    _base_.view, dict(type='PerturbStudent'), _base_.mask, dict(type='PackConMIMInputs')]))
