# ConMIM and its targets beside mmpretrain's methods on some hundred photos, 8 minutes on one core
# each, judged by the patches of CamVid. DATA/train holds the images to learn from, DATA/camvid
# CamVid's images and annotations.
_configs = '{{ fileDirname }}/../cifar10'
_side, _patch = 96, 8
_grid = _side // _patch
_pipeline = 'train_dataloader.dataset.pipeline'
_vit = {'model.backbone.img_size': _side, 'model.backbone.patch_size': _patch}
_views = _vit | {
    'train_dataloader.batch_size': 32,
    f'{_pipeline}.0.size': _side,
    f'{_pipeline}.0.scale': (0.2, 1.),
    f'{_pipeline}.0.ratio': (3 / 4, 4 / 3)}
_ours = _views | {
    f'{_pipeline}.1.img_size': _side,
    f'{_pipeline}.1.patch_size': _patch,
    f'{_pipeline}.1.block_size': _patch}
_pixels = 3 * _patch**2
_tokens_and_pixels = {
    'model.teacher.type': 'TokensAndPixelsTeacher',
    'model.neck.out_channels': 128 + _pixels,
    'model.head.type': 'TokensAndPixelsHead',
    'model.head.num_pixels': _pixels}
_pixels_alone = {'model.teacher.type': 'PixelsTeacher', 'model.neck.out_channels': _pixels}
_mae = _views | {
    'model.neck.num_patches': _grid**2,
    'model.neck.patch_size': _patch,
    'model.head.patch_size': _patch}
_simmim = _views | {
    'model.neck.encoder_stride': _patch,
    'model.head.patch_size': _patch,
    f'{_pipeline}.1.input_size': _side,
    f'{_pipeline}.1.mask_patch_size': _patch,
    f'{_pipeline}.1.model_patch_size': _patch}
_beit = _views | {
    'model.target_generator.patch_size': _patch,
    f'{_pipeline}.1.input_size': _grid,
    f'{_pipeline}.1.num_masking_patches': round(0.4 * _grid**2)}
_moco = _vit | {
    'train_dataloader.batch_size': 64,
    f'{_pipeline}.1.transforms.0.0.scale': _side,
    f'{_pipeline}.1.transforms.1.0.scale': _side}
budget = dict(seconds=480)
maps = dict(folder='camvid', img_size=160)
arms = {
    'MAE': dict(config=f'{_configs}/mae.py', options=_mae),
    'ConMIM, visible patches': dict(config=f'{_configs}/visible.py', options=_ours),
    'tokens and pixels': dict(config=f'{_configs}/visible.py', options=_ours | _tokens_and_pixels),
    'pixels alone': dict(config=f'{_configs}/visible.py', options=_ours | _pixels_alone),
    'SimMIM': dict(config=f'{_configs}/simmim.py', options=_simmim),
    'BEiT with random codes': dict(config=f'{_configs}/beit.py', options=_beit),
    'MoCo v3': dict(config=f'{_configs}/mocov3.py', options=_moco),
    'random weights': dict(config=f'{_configs}/visible.py', options=_ours, untrained=True),
}
