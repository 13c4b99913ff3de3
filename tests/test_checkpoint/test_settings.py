"""What a run's settings are kept as, and how they are read from files of any origin."""

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.config.lazy import LazyObject
from mmengine.runner import Runner

from conmim_mm.checkpoint.reading import load_checkpoint_file
from conmim_mm.checkpoint.settings import (
    read_literals,
    saved_settings,
    settings_text,
    type_name,
)

from ..conftest import CONFIGS
from ..toy import run_cfg, write_noise_images


@pytest.fixture(scope='module')
def cfg() -> Config:
    return Config(dict(
        optim_wrapper=dict(
            type='OptimWrapper', clip_grad=None,
            paramwise_cfg=dict(custom_keys={
                'head.fc': dict(lr_mult=math.inf, decay_mult=-math.inf), 'norm': dict(a=[]),
                3: (-0.5, dict(b=True))})),
        names=dict(x={'a b': "it's"}), plain='text'))


@pytest.fixture(scope='module')
def text(cfg, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp('dump') / 'config.py'
    cfg.dump(path)
    text = path.read_text()
    assert 'dict({' in text and 'lr_mult=inf' in text  # or it tests nothing
    return text


def of(**meta: object) -> dict:
    """The settings in a checkpoint with this meta."""
    return saved_settings(dict(meta=meta, state_dict={}))


# --- as they are written ---

def test_a_run_keeps_its_config_as_data(tmp_path) -> None:
    (tmp_path / 'images').mkdir()
    images = write_noise_images(tmp_path / 'images', count=8, side=40)
    cfg = Config(run_cfg(images, tmp_path / 'run'))
    cfg.optim_wrapper.paramwise_cfg.custom_keys = {'cls_token': dict(decay_mult=0.)}
    cfg.optim_wrapper.optimizer.type = torch.optim.AdamW  # as in a config of Python imports
    cfg.limit = dict(low=np.float32(0.5), high=math.inf)
    Runner.from_cfg(cfg).train()
    # what torch.load lets through as plain data, apart from MMEngine's record of the log
    found = saved_settings(load_checkpoint_file(tmp_path / 'run' / 'epoch_1.pth'))
    expected = cfg.to_dict()
    expected['optim_wrapper']['optimizer']['type'] = 'torch.optim.adamw.AdamW'
    expected['experiment_name'] = found['experiment_name']
    assert found == expected
    assert found['optim_wrapper']['optimizer']['betas'] == (0.9, 0.98)
    assert type(found['limit']['low']) is float


# --- as they are read ---

@pytest.mark.parametrize('where', [
    lambda run: run, lambda run: dict(pretraining=run)], ids=['run', 'backbone taken out'])
def test_data_comes_before_text(where) -> None:
    data, text = dict(settings=dict(a=(1, [None]))), dict(cfg='a = 2')
    assert of(**where(data | text)) == dict(a=(1, [None]))
    assert of(**where(text)) == dict(a=2)
    assert of(**where({})) == {}


@pytest.mark.parametrize('checkpoint', [
    {}, dict(meta=None), dict(meta=[1]), dict(meta=dict(pretraining='x')),
    dict(meta=dict(cfg=None)), dict(meta=dict(cfg=''))])
def test_many_files_carry_none(checkpoint) -> None:
    assert saved_settings(checkpoint) == {}


def in_itself() -> dict:
    settings = dict(model=dict(type='ConMIM'))
    settings['model']['backbone'] = settings
    return settings


def many_times(levels: int = 40) -> dict:
    part = [1]
    for _ in range(levels):
        part = [part, part]
    return dict(a=part)


def nested(levels: int) -> dict:
    part = {}
    for _ in range(levels):
        part = dict(a=part)
    return part


@pytest.mark.parametrize(('settings', 'reason'), [
    (in_itself(), 'holds too much'),
    (many_times(), 'holds too much'),
    (nested(51), 'holds too much'),
    (dict(a=['x' * 1000] * 1000), 'holds too much'),
    (dict(a=list(range(200_001))), 'holds too much'),
    (dict(a=torch.ones(2)), 'holds a Tensor'),
    (dict(a=[np.float64(1)]), 'holds a float64'),
    ({torch.float32: 1}, 'holds a dtype'),
    (dict(a={1}), 'holds a set'),
    (dict(a=torch.Size([1])), 'holds a Size'),
    (dict(a=b'x'), 'holds a bytes'),
    ([('a', 1)], 'it is a list'),
    ('a = 1', 'it is a str'),
    (None, 'it is a NoneType'),
])
def test_foreign_and_endless_data_is_refused(settings, reason, tmp_path) -> None:
    torch.save(dict(meta=dict(settings=settings, cfg='a = 1'), state_dict={}), tmp_path / 'c.pth')
    with pytest.raises(ValueError, match=reason):
        saved_settings(load_checkpoint_file(tmp_path / 'c.pth'))


def test_limits_leave_room_for_real_configs() -> None:
    assert of(settings=nested(50)) == nested(50)
    for path in ('detection/vit-b_mask-rcnn_8xb8-25e_coco-1024px.py',
                 'segmentation/vit-l_upernet_8xb2-160k_ade20k-640x640.py'):
        settings = Config.fromfile(CONFIGS / path).to_dict()
        assert of(settings=settings) == settings
        # room for more than ten such
        assert of(settings={str(i): settings for i in range(10)})['9'] == settings


def test_the_result_is_a_copy_of_plain_types() -> None:
    settings = OrderedDict(a=OrderedDict(b=[1]))
    found = of(settings=settings)
    assert found == settings and type(found) is type(found['a']) is dict
    found['a']['b'].append(2)
    assert settings['a']['b'] == [1]


# --- text, as in checkpoints of MMEngine alone ---

def test_dotted_keys_and_infinity_are_read(cfg, text) -> None:
    assert of(cfg=text) == cfg.to_dict()


def test_not_a_number_is_read() -> None:
    assert math.isnan(of(cfg='x = dict(y=nan)')['x']['y'])


@pytest.mark.parametrize(('code', 'reason'), [
    *((f'x = {code}', 'computes a value') for code in (
        'dict(y)', 'dict([(1, 2)])', 'dict({}, {})', 'dict({**y})', 'dict({"a": 1}, b=2)',
        'dict(**y)', 'dict(a=1, **y)', '{**y}', 'infinity', '-y', 'f"{y}"', 'print(1)',
        'dict(a=[print(1)])', 'dict({"a": print(1)})', 'y.dict(a=1)', '[z for z in ()]', 'y[0]',
        'lambda: 1', '(z := 1)')),
    *((code, 'assigns no value') for code in (
        'x.y = 1', 'x = y = 1', 'import os', 'x: int = 1', 'x += 1', 'print(1)', 'x, = [1]')),
])
def test_code_is_refused(code, reason) -> None:
    with pytest.raises(ValueError, match=f'line 2 {reason}'):
        read_literals(f'a = 1\n{code}')


@pytest.mark.parametrize('text', [
    'a = ', 'x = {[1]: 2}', 'x = {1}', 'x = 1j', 3, b'\xff', '\0', 'a = b"x"', 'x = ...',
    pytest.param('x = ' + '-' * 100_000 + '1', id='minus'),
    pytest.param('x = ' + '[' * 100_000, id='brackets'),
    pytest.param('x = ' + '[' * 60 + ']' * 60, id='deep'),
    pytest.param(f'x = "{"y" * 200_000}"', id='long')])
def test_what_is_no_config_is_refused(text) -> None:
    with pytest.raises(ValueError, match='it '):
        of(cfg=text)


# --- text that is written ---

@pytest.mark.parametrize('text', [
    'a\nopen("executed", "w")', "'; open('executed', 'w'); '", '{{ fileDirname }}', '{{{{x}}}}',
    '\\{{ fileBasename }}', '{{ _base_.a }}', '{{$ENV:HOME}}', '\r\x00\u2028\udcff', 'é"\'\\'])
def test_any_name_is_written_as_it_is(text, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = dict(data_root=text, a=[dict(b=(text, math.inf))])
    path = tmp_path / 'config.py'
    path.write_text(settings_text(settings), encoding='utf-8')
    assert Config.fromfile(path).to_dict() == settings == read_literals(path.read_text('utf-8'))
    assert not (tmp_path / 'executed').exists()


# --- the names of components ---

@pytest.mark.parametrize(('part', 'name'), [
    (dict(type='AdamW'), 'AdamW'), (dict(type='mmpretrain.ConMIM'), 'ConMIM'),
    (dict(type='torch.optim.adamw.AdamW'), 'AdamW'), (dict(type=torch.optim.AdamW), 'AdamW'),
    (torch.optim.AdamW, 'AdamW'), ('mmpretrain.ConMIM', 'ConMIM'), (dict(lr=1), ''), ({}, ''),
    (LazyObject('torch.optim', 'AdamW'), 'AdamW')])
def test_name_of_a_type(part, name) -> None:
    assert type_name(part) == name
