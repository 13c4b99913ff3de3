"""One reading of what MMEngine writes, as checkpoints and work dirs hold it."""

import math

import pytest
from mmengine.config import Config

from conmim_mm.checkpoint.saved_config import read_saved_config
from conmim_mm.formats.publish import public_config
from conmim_mm.report.page import plain_settings


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


def test_dotted_keys_and_infinity_are_read(cfg, text) -> None:
    assert read_saved_config(text) == cfg.to_dict()


def test_a_report_reads_them(text) -> None:
    settings = plain_settings(text)
    assert settings['names'] == dict(x={'a b': "it's"})
    keys = settings['optim_wrapper']['paramwise_cfg']['custom_keys']
    assert keys['head.fc'] == dict(lr_mult=math.inf, decay_mult=-math.inf)
    assert keys[3] == [-0.5, dict(b=True)]


def test_a_public_config_keeps_them(cfg, text) -> None:
    public = public_config(text)
    assert Config.fromstring(public, '.py').to_dict() == cfg.to_dict()
    assert read_saved_config(public) == cfg.to_dict()


def test_not_a_number_is_read() -> None:
    assert math.isnan(read_saved_config('x = dict(y=nan)')['x']['y'])


@pytest.mark.parametrize(('code', 'reason'), [
    ('x = dict(y)', 'makes a dict of something else'),
    ('x = dict([(1, 2)])', 'makes a dict of something else'),
    ('x = dict({}, {})', 'makes a dict of something else'),
    ('x = dict({**y})', 'unpacks a dict'),
    ('x = {**y}', 'unpacks a dict'),
    ('x = {[1]: 2}', 'has a key that cannot be one'),
    ('x = {(), []}', 'has a key that cannot be one'),
    ('x = infinity', 'computes infinity'),
    ('x = -y', 'computes -y'),
    ('x.y = 1', 'assigns no value'),
    ('x = y = 1', 'assigns no value'),
])
def test_anything_else_is_refused(code, reason) -> None:
    with pytest.raises(ValueError, match=f'line 2 {reason}'):
        read_saved_config(f'a = 1\n{code}')
