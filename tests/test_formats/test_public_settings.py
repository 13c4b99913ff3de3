"""Settings that are given away: the same, but for the paths of the machine they were used on."""

import math

import pytest
import torch
from mmengine.config import Config
from public_checkpoint import REMOVED, config_text, public_settings, publishable_checkpoint

from conmim_mm.checkpoint.settings import read_literals
from conmim_mm.errors import InputError

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
    text = config_text(public_settings(cfg.to_dict()))
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
    public = Config.fromstring(config_text(public_settings(cfg.to_dict())), '.py')
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'default_hooks', 'randomness'):
        assert public[key] == cfg[key]
    if 'init_cfg' in cfg.model.backbone:
        cfg.model.backbone.init_cfg.checkpoint = REMOVED
    assert public.model == cfg.model


def test_other_names_of_a_private_folder_go_too() -> None:
    public = public_settings(dict(
        data={'a.b': 1, 'data_root': 'clients/acme'}, splits=dict(ann_file=['acme/1.txt', '']),
        folders=('clients/acme/x', 'clients/acme2')))
    assert public == dict(data={'a.b': 1, 'data_root': REMOVED}, splits=dict(
        ann_file=[REMOVED, '']), folders=(REMOVED, 'clients/acme2'))


def test_infinity_and_dotted_keys_are_text_that_mmengine_reads() -> None:
    settings = dict(custom_keys={'head.fc': dict(lr_mult=math.inf, decay_mult=-math.inf),
                                 3: (-0.5, dict(b=True))}, x={'a b': "it's"}, inf='inf')
    text = config_text(public_settings(settings))
    assert Config.fromstring(text, '.py').to_dict() == settings == read_literals(text)


# MMEngine writes a name in quotes of its own, which this one ends
CODE = "a': open('executed', 'w'), 'b"


@pytest.mark.parametrize('settings', [
    {CODE: 1}, dict(a={CODE: 1}), dict(a=[{CODE: 1}]), dict(a=({CODE: ()},)),
    {"a=open('executed', 'w')\nb": 1},
    {'a b': 1}, {'class': 1}, {3: 1}, dict(filename='x'), dict(text='x')])
def test_names_do_not_become_code(settings, tmp_path, monkeypatch) -> None:
    """Who loads a published file with an inferencer runs this text."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match='make no config'):
        config_text(settings)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize('meta, reason', [
    (dict(cfg='import os'), 'more than plain settings: line 1 '),
    (dict(cfg='a = '), 'no config'),
    (dict(settings=dict(a=torch.ones(1))), 'more than plain settings: it holds a Tensor'),
    (dict(settings={'a b': 1}), 'make no config')])
def test_refuses_to_publish_more(meta: dict, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        publishable_checkpoint(dict(meta=meta, state_dict=dict(weight=torch.ones(1))), 'all')
