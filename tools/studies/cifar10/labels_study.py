# What pre-training brings with 10, 100, 1,000 and all labels a class.
_here = '{{ fileDirname }}'
budget = dict(images=60000)
judges = f'{_here}/finetune.py'
finetunes = [
    dict(labels=10, steps=240), dict(labels=100, steps=240), dict(labels=1000, steps=800),
    dict(labels=5000, steps=800)]
arms = {
    'random weights': dict(config=f'{_here}/visible.py', untrained=True),
    'recipe': dict(config=f'{_here}/visible.py'),
    'MAE': dict(config=f'{_here}/mae.py'),
}
