# ConMIM's two forms beside mmpretrain's other methods, 8 minutes on one core each. The first arm is
# what the others are compared with.
_here = '{{ fileDirname }}'
budget = dict(seconds=480)
judges = f'{_here}/finetune.py'
finetunes = [dict(labels=100, steps=240)]
arms = {
    'MAE': dict(config=f'{_here}/mae.py'),
    'ConMIM, visible patches': dict(config=f'{_here}/visible.py'),
    'SimMIM': dict(config=f'{_here}/simmim.py'),
    'BEiT with random codes': dict(config=f'{_here}/beit.py'),
    'MoCo v3': dict(config=f'{_here}/mocov3.py'),
    'ConMIM, as in the paper': dict(config=f'{_here}/conmim.py'),
    'random weights': dict(config=f'{_here}/visible.py', untrained=True),
}
