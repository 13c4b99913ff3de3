# ConMIM beside MAE on some hundred photos, 8 minutes on one core each, judged by the patches of
# CamVid. DATA/train holds the images to learn from, DATA/camvid CamVid's images and annotations.
_here = '{{ fileDirname }}'
budget = dict(seconds=480)
maps = dict(folder='camvid', img_size=160)
arms = {
    'MAE': dict(config=f'{_here}/mae.py'),
    'ConMIM, visible patches': dict(config=f'{_here}/visible.py'),
    'random weights': dict(config=f'{_here}/visible.py', untrained=True),
}
