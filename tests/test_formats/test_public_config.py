"""A config that is given away: the same settings, no path of the machine it ran on, no code run."""

import pytest
from mmengine.config import Config

from conmim_mm.errors import InputError
from conmim_mm.formats.publish import REMOVED, public_config

from ..conftest import CONFIGS


def test_removes_what_only_one_machine_knows() -> None:
    cfg = Config(dict(
        data_root='clients/acme/',
        work_dir='work_dirs/acme',
        load_from='old/acme.pth',
        launcher='slurm',
        plain='train',
        train_dataloader=dict(batch_size=8, dataset=dict(
            data_root='clients/acme/', ann_file='lists/acme.txt', data_prefix='train',
            metainfo=dict(classes=('cat', 'dog')),
            pipeline=[dict(type='Load', shards=['/mnt/acme/{0..9}.tar', 'clients/acme/1.tar'],
                           backend_args=dict(backend='s3', key='acme'), ratio=-0.5)])),
        test_evaluator=dict(ann_file='', prefix='s3://acme/x', home='~/acme'),
        default_hooks=dict(checkpoint=dict(type='AtomicCheckpointHook', out_dir='acme')),
        vis_backends=[dict(type='WandbVisBackend', init_kwargs=dict(entity='acme'))],
        model={'init_cfg': dict(type='Pretrained', checkpoint='acme.pth'), 'a.b': 1, 'data_root':
               'acme'}))
    text = public_config(cfg.pretty_text)
    assert 'acme' not in text
    assert max(map(len, text.splitlines())) <= 100
    public = Config.fromstring(text, '.py')
    dataset = public.train_dataloader.dataset
    assert not {'work_dir', 'load_from', 'launcher'} & set(public)
    assert public.data_root == dataset.data_root == dataset.ann_file == REMOVED
    assert dataset.pipeline == [dict(type='Load', shards=[REMOVED, REMOVED], backend_args=None,
                                     ratio=-0.5)]
    assert (dataset.data_prefix, dataset.metainfo.classes) == ('train', ('cat', 'dog'))
    assert public.test_evaluator == dict(ann_file='', prefix=REMOVED, home=REMOVED)
    assert public.default_hooks.checkpoint == dict(type='AtomicCheckpointHook', out_dir=REMOVED)
    assert public.vis_backends == [dict(type='WandbVisBackend', init_kwargs=None)]
    assert public.model == {'init_cfg': dict(type='Pretrained', checkpoint=REMOVED), 'a.b': 1,
                            'data_root': REMOVED}


@pytest.mark.parametrize('path', ['conmim/vit-l_32xb64_fsdp.py',
                                  'segmentation/vit-l_upernet_8xb2-160k_ade20k-640x640.py'])
def test_model_and_schedule_stay_as_they_are(path: str) -> None:
    cfg = Config.fromfile(CONFIGS / path)
    public = Config.fromstring(public_config(cfg.pretty_text), '.py')
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'custom_hooks', 'randomness'):
        assert public[key] == cfg[key]
    if 'init_cfg' in cfg.model.backbone:
        cfg.model.backbone.init_cfg.checkpoint = REMOVED
    assert public.model == cfg.model


@pytest.mark.parametrize('text, reason', [
    ('import os', 'more than plain settings: line 1 '),
    ('a = 1\nb = print(1)', 'line 2 calls print'),
    ('a = dict(b=[c() for c in d])', 'more than plain settings'),
    ('a.b = 1', 'more than plain settings'),
    ('a = f"{b}"', 'more than plain settings'),
    ('a = ', 'no Python')])
def test_refuses_code(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        public_config(text)
