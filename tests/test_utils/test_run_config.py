import copy
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.runner import FlexibleRunner, Runner

from conmim_mm.errors import InputError
from conmim_mm.utils.run_config import (
    _held,
    change_config,
    drop_hooks_switched_off,
    fit_to_machine,
    option_texts,
    read_config,
    replace_data_root,
)

from ..conftest import CONFIGS

TASKS = sorted(path for kind in ('conmim', 'classification', 'segmentation', 'detection')
               for path in (CONFIGS / kind).glob('*.py'))


def strings(value: object) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize('path', TASKS, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_data_root_reaches_all_that_was_made_of_it(path, tmp_path) -> None:
    cfg = read_config(str(path))
    replace_data_root(cfg, str(tmp_path))
    for part in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(part):
            assert cfg[part].dataset.data_root == f'{tmp_path}/'
    assert not [text for text in strings(cfg.to_dict()) if text.startswith('data/')]


def test_data_root_leaves_other_paths_alone(tmp_path) -> None:
    cfg = Config(dict(data_root='data/x/', a='data/x', b='data/x/y.json', c='data/xy',
                      d=['data/x/'], e=dict(f=('data/x/z', 3))))
    replace_data_root(cfg, str(tmp_path))
    new = f'{tmp_path}/'
    assert cfg.to_dict() == dict(data_root=new, a=new, b=f'{new}y.json', c='data/xy', d=[new],
                                 e=dict(f=(f'{new}z', 3)))


def test_data_root_without_a_slash_at_its_end(tmp_path) -> None:
    cfg = Config(dict(data_root='data/x', a='data/x/y', b='data/x2'))
    replace_data_root(cfg, str(tmp_path))
    assert (cfg.a, cfg.b) == (f'{tmp_path}/y', 'data/x2')


def test_data_root_in_one_line(tmp_path) -> None:
    with pytest.raises(InputError, match='no such folder'):
        replace_data_root(Config(dict(data_root='data/x/')), str(tmp_path / 'none'))
    with pytest.raises(InputError, match='has no data_root at its top'):
        replace_data_root(Config(dict(model={})), str(tmp_path))


def test_loaders_fit_the_machine(monkeypatch) -> None:
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    loader = dict(pin_memory=True, persistent_workers=True)
    cfg = Config(dict(train_dataloader=dict(loader, num_workers=2),
                      val_dataloader=dict(loader, num_workers=0), test_dataloader=None))
    fit_to_machine(cfg)
    assert cfg.train_dataloader == dict(pin_memory=False, persistent_workers=True, num_workers=2)
    assert cfg.val_dataloader == dict(pin_memory=False, persistent_workers=False, num_workers=0)


@pytest.mark.parametrize('runner', [Runner, FlexibleRunner])
@pytest.mark.parametrize('path', TASKS, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_none_switches_any_hook_off(path, runner) -> None:
    cfg = read_config(str(path))
    for name in cfg.default_hooks:
        changed = copy.deepcopy(cfg)
        change_config(changed, {f'default_hooks.{name}': None}, str(path))
        drop_hooks_switched_off(changed)
        registered = []
        runner.register_default_hooks(SimpleNamespace(register_hook=registered.append),
                                      changed.default_hooks)
        hooks = dict(cfg.default_hooks)
        del hooks[name]
        assert sorted(hook['type'] for hook in registered) == sorted(
            hook['type'] for hook in hooks.values())


@pytest.mark.parametrize(('key', 'text', 'value'), [
    ('path', '/d/my runs/w.pth', '/d/my runs/w.pth'), ('path', 'run (1)', 'run (1)'),
    ('path', '[a, b]', ['a', 'b']), ('path', '(1, x)', (1, 'x')),
    ('path', '[[a], b]', [['a'], 'b']), ('path', 'False', False), ('path', 'true', True),
    ('path', '/d/my runs (1)/w.pth', '/d/my runs (1)/w.pth'),
    ('path', '(1) a (2)', '(1) a (2)'), ('path', '[a, b', '[a, b'), ('path', '[a)', '[a)'),
    ('path', '[1]', '[1]'),  # which is there
    ('path', '"[a, b]"', '[a, b]'), ('path', '(1', '(1'), ('path', '3', '3'),
    ('path', 'a,b', 'a,b'),
    ('path', '{{ fileDirname }}', '{{ fileDirname }}'), ('path', '"a b"', 'a b'),
    ('path', 'a=b', 'a=b'), ('path', 'None', None),
    ('nothing', '/d/my runs/w.pth', '/d/my runs/w.pth'), ('nothing', 'run (1)', 'run (1)'),
    ('nothing', 'None', None), ('nothing', '3', 3), ('nothing', '1e-3', 1e-3),
    ('nothing', '[x (1', '[x (1'), ('nothing', '(1,x', '(1,x'), ('absent.deep', 'a b', 'a b'),
    ('nothing', 'one, two.txt', 'one, two.txt'),  # which is there
    ('number', '2', 2), ('number', 'True', True), ('pair', '(0.9, 0.98)', (0.9, 0.98)),
    ('pair', '[my list.txt, b]', ['my list.txt', 'b']), ('parts.1.name', 'x y', 'x y'),
])
def test_what_an_option_is_read_as(key, text, value, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'one, two.txt').touch()
    (tmp_path / '[1]').mkdir()
    cfg = Config(dict(path='text', nothing=None, number=1, pair=(1, 2),
                      parts=[dict(a=1), dict(name='n')]))
    change_config(cfg, option_texts([f'{key}={text}']), 'the config')
    assert _held(cfg, key) == value


def test_values_from_python_stay_as_they_are() -> None:
    cfg = Config(dict(path='text'))
    change_config(cfg, dict(path='[a, b]', n=3), 'the config')
    assert cfg.to_dict() == dict(path='[a, b]', n=3)


@pytest.mark.parametrize(('name', 'text'), [
    ('a.yaml', '!!python/object/apply:os.system ["touch executed"]'), ('a.yml', 'a: 1'),
    ('a.json', '{"_base_": "base.yaml"}')])
def test_yaml_runs_nothing(name, text, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'base.yaml').write_text('a: !!python/object/apply:os.system ["touch executed"]')
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f'{name}') as error:
        read_config(str(tmp_path / name))
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'executed').exists()
