# The student of visible patches beside a teacher that sees a perturbed image, as in the paper.
_base_ = 'visible.py'
view = dict(_base_.load, perturbation=dict(type='TeacherPerturbation'))
train_dataloader = dict(dataset=dict(
    pipeline=[view, _base_.mask, dict(type='PackConMIMInputs')]))
