import copy
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.runner import FlexibleRunner, Runner

from conmim_mm.errors import InputError
from conmim_mm.utils.run_config import (
    change_config,
    drop_hooks_switched_off,
    fit_to_machine,
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
