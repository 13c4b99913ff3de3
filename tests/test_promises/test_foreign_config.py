"""The components inside somebody else's config, among mmpretrain's and MMEngine's own."""

import pytest
from mmengine.runner import Runner

from ..labelled import write_labelled_images
from ..toy import model_cfg


@pytest.mark.parametrize('mask', [
    dict(type='mmpretrain.RandomPatchMask', img_size=32, patch_size=8, block_size=16,
         mask_ratio=0.5),
    dict(type='mmpretrain.BlockPatchMask', img_size=32, patch_size=8),
], ids=['random', 'block'])
def test_trains_among_other_components(tmp_path, mask: dict) -> None:
    write_labelled_images(tmp_path / 'train', count=3)

    model = model_cfg(use_abs_pos_emb=True, use_shared_rel_pos_bias=False)
    model['data_preprocessor'] = dict(type='mmpretrain.ConMIMDataPreprocessor')
    model['teacher'] = dict(type='mmpretrain.EMATeacher')
    runner = Runner(
        model=model,
        work_dir=str(tmp_path / 'run'),
        train_dataloader=dict(
            batch_size=4,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
            dataset=dict(
                type='mmpretrain.CustomDataset',
                data_root=str(tmp_path / 'train'),
                pipeline=[
                    dict(type='mmpretrain.LoadImageFromFile'),  # BGR, as OpenMMLab has it
                    dict(type='mmpretrain.ConMIMTwoViews', size=32, channel_order='bgr'),
                    mask,
                    dict(type='mmpretrain.PackConMIMInputs'),
                ])),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        param_scheduler=dict(type='CosineAnnealingLR', T_max=2),
        default_hooks=dict(teacher=dict(type='mmpretrain.TeacherUpdateHook', momentum=0.9)),
        default_scope='mmpretrain',
        experiment_name=f'foreign_{tmp_path.name}',
        log_level='WARNING')
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    loss = runner.message_hub.get_scalar('train/loss').current()
    assert 0 < loss < 20
    after = runner.model.state_dict()
    for key in ('backbone.cls_token', 'teacher.backbone.cls_token'):
        assert not after[key].equal(before[key])
