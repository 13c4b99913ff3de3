import math
import sys
from pathlib import Path

import pytest
import torch
from common import views_of_image
from load_model import check_components, load_pretraining
from mmengine.config import Config

from conmim_mm.checkpoint.settings import read_literals, saved_settings
from conmim_mm.errors import InputError

from ..conftest import CONFIGS
from ..toy import model_cfg


def checkpoint_with(path: Path, **meta: object) -> Path:
    torch.save(dict(meta=meta, state_dict={'neck.layers.0.weight': torch.zeros(1)}), path)
    return path


@pytest.mark.parametrize('name', ['vit-tiny_1xb8_images-224px', 'vit-b_8xb256_shards'])
def test_what_mmengine_writes_is_read_without_running_it(name) -> None:
    cfg = Config.fromfile(CONFIGS / 'conmim' / f'{name}.py')
    values = read_literals(cfg.pretty_text)
    assert values == cfg.to_dict()
    check_components(values)


def test_a_config_that_is_code_is_refused(tmp_path) -> None:
    """What code is, test_settings.py says."""
    text = "model = dict(type='ConMIM')\nx = open('f', 'w')"
    with pytest.raises(InputError, match='could run code .line 2 computes.*--config'):
        load_pretraining(checkpoint_with(tmp_path / 'c.pth', cfg=text))


@pytest.mark.parametrize(('settings', 'reason'), [
    (dict(model=torch.ones(1)), 'could run code .it holds a Tensor'),
    (dict(filename='x'), 'could run code .*filename is reserved'),
    (dict(model=dict(type=['ConMIM'])), "could run code .it names .'ConMIM'"),
    (dict(model=[1]), 'no config of a ConMIM model'),
    (dict(model=None, train_dataloader=[dict(dataset=1)]), 'no config of a ConMIM model'),
    (dict(a=1), 'no config of a ConMIM model'),
])
def test_settings_that_describe_no_model_are_refused(settings, reason, tmp_path) -> None:
    with pytest.raises(InputError, match=f'{reason}.*--config'):
        load_pretraining(checkpoint_with(tmp_path / 'c.pth', settings=settings))


@pytest.mark.parametrize('place', ['backbone', 'pipeline'])
@pytest.mark.parametrize('name', ['os.system', 'subprocess.run', 'mmpretrain.HuggingFaceX',
                                  'BEiTViT', 'builtins.exec'])
def test_a_config_that_names_a_function_is_refused(name, place, checkpoint, tmp_path) -> None:
    def change(values: dict) -> None:
        part = (values['model']['backbone'] if place == 'backbone'
                else values['train_dataloader']['dataset']['pipeline'][0])
        part |= dict(type=name, command=f'touch {tmp_path / "run"}')

    path = with_config(checkpoint, tmp_path / 'c.pth', change)
    with pytest.raises(InputError, match=f'could run code .it names {name}.*--config'):
        load_pretraining(path)
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('place', ['pipeline', 'model'])
@pytest.mark.parametrize('key', ['backend_args', 'file_client_args'])
def test_a_config_that_chooses_a_storage_is_refused(key, place, checkpoint, tmp_path) -> None:
    """MMEngine's memcached backend imports a module from a folder."""
    (tmp_path / 'mc.py').write_text(f'open({str(tmp_path / "run")!r}, "w")')
    storage = dict(backend='memcached', server_list_cfg='', client_cfg='', sys_path=str(tmp_path))

    def change(values: dict) -> None:
        if place == 'model':
            values['model']['backbone'][key] = storage
        else:
            values['train_dataloader']['dataset']['pipeline'][0] = {
                'type': 'LoadImageFromFile', key: storage}

    with pytest.raises(InputError, match=f'could run code .it sets {key}'):
        load_pretraining(with_config(checkpoint, tmp_path / 'c.pth', change))
    assert not (tmp_path / 'run').exists()


@pytest.fixture
def evil_package(tmp_path, monkeypatch) -> Path:
    """Can be imported, and then leaves a file; gives back that file."""
    (tmp_path / 'evilpkg').mkdir()
    for name in ('__init__', 'registry'):
        (tmp_path / 'evilpkg' / f'{name}.py').write_text(f'open({str(tmp_path / "run")!r}, "w")')
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / 'run'
    for name in [name for name in sys.modules if name.startswith('evilpkg')]:
        del sys.modules[name]


def add_default_scope(values: dict) -> None:
    values.update(default_scope='evilpkg', custom_imports=dict(imports=['evilpkg']))


SCOPES = {
    'model': lambda values: values['model'].update(_scope_='evilpkg'),
    'part': lambda values: values['model']['backbone'].update(_scope_='evilpkg'),
    'init_cfg': lambda values: values['model']['backbone'].update(
        init_cfg=[dict(type='TruncNormal', _scope_='evilpkg')]),
    'pipeline': lambda values: values['train_dataloader']['dataset']['pipeline'][0].update(
        _scope_='evilpkg'),
    'hooks': lambda values: values.update(custom_hooks=[dict(_scope_='evilpkg')]),
    'prefix': lambda values: values['model'].update(type='evilpkg.ConMIM'),
    'prefix of init_cfg': lambda values: values['model']['backbone'].update(
        init_cfg=dict(type='evilpkg.TruncNormal')),
    'prefix of pipeline': lambda values: values['train_dataloader']['dataset']['pipeline'][0]
    .update(type='evilpkg.LoadTwoViews'),
}


def with_config(checkpoint: Path, path: Path, change, as_text: bool = False) -> Path:
    """A copy of a checkpoint whose config was changed, as this project or as MMEngine keeps it."""
    saved = torch.load(checkpoint)
    values = saved_settings(saved)
    change(values)
    saved['meta'].pop('settings', None)
    saved['meta'] |= dict(cfg=Config(values).pretty_text) if as_text else dict(settings=values)
    torch.save(saved, path)
    return path


@pytest.mark.parametrize('as_text', [False, True], ids=['data', 'text'])
@pytest.mark.parametrize('place', SCOPES)
def test_a_config_that_has_a_package_imported_is_refused(
        place, as_text, checkpoint, tmp_path, evil_package) -> None:
    path = with_config(checkpoint, tmp_path / 'c.pth', SCOPES[place], as_text)
    with pytest.raises(InputError, match='could run code .it names (the scope )?evilpkg'):
        load_pretraining(path)
    assert not evil_package.exists()


def test_imports_of_a_config_have_no_effect(checkpoint, images, tmp_path, evil_package) -> None:
    path = with_config(checkpoint, tmp_path / 'c.pth', add_default_scope)
    model, cfg = load_pretraining(path)
    views_of_image(model, cfg, str(images / 'dog' / '1.png'))
    assert not evil_package.exists()
    assert cfg.default_scope == 'evilpkg'


def test_dotted_keys_and_infinity_are_no_code(checkpoint, tmp_path) -> None:
    keys = {'head.fc': dict(lr_mult=math.inf)}
    path = with_config(checkpoint, tmp_path / 'c.pth', lambda values: values.update(
        optim_wrapper=dict(paramwise_cfg=dict(custom_keys=keys))))
    assert load_pretraining(path).cfg.optim_wrapper.paramwise_cfg.custom_keys == keys


def test_the_weights_are_the_checkpoints(checkpoint) -> None:
    model, cfg = load_pretraining(checkpoint)
    saved = torch.load(checkpoint)['state_dict']
    assert all(torch.equal(value, saved[key]) for key, value in model.state_dict().items())
    assert not model.training and cfg.model.backbone.patch_size == 8


def test_a_config_may_be_given(checkpoint, tmp_path) -> None:
    torch.save(dict(state_dict=torch.load(checkpoint)['state_dict']), tmp_path / 'bare.pth')
    with pytest.raises(InputError, match='carries no config; .* --config'):
        load_pretraining(tmp_path / 'bare.pth')
    config = tmp_path / 'config.py'
    config.write_text(f'model = {model_cfg()}')
    model, _ = load_pretraining(tmp_path / 'bare.pth', str(config))
    assert model.backbone.patch_size == 8
    config.write_text(f'model = {model_cfg(patch_size=16)}')
    with pytest.raises(InputError, match='does not fit the model'):
        load_pretraining(tmp_path / 'bare.pth', str(config))


def test_the_largest_square_in_the_middle_is_seen(checkpoint, images) -> None:
    model, cfg = load_pretraining(checkpoint)
    path = str(images / 'dog' / '1.png')
    first, same, other = (views_of_image(model, cfg, path, seed, index)
                          for seed, index in ((0, 0), (0, 0), (0, 1)))
    assert first['student_view'].shape == (1, 3, 32, 32) and first['mask'].sum() == 8
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert torch.equal(first['student_view'], other['student_view'])  # neither crop nor flip
    assert not torch.equal(first['mask'], other['mask'])
