"""The config in a run's folder is data, whoever wrote it."""

import pytest
import torch
from mmengine.config import Config
from torch.utils.data import default_collate

from conmim_mm.errors import InputError
from conmim_mm.utils.written_config import (
    foreign_code,
    read_written_config,
    rewrite_config,
    write_config,
)

NAME = 'my\nopen("executed", "w")\r{{ fileDirname }}'


def test_it_is_read_as_it_was_written(tmp_path, monkeypatch) -> None:
    """Names in the lines above too; Python finds nothing else in it."""
    monkeypatch.chdir(tmp_path)
    cfg = Config(dict(data_root=NAME, optimizer=dict(type=torch.optim.AdamW),
                      collate_fn=dict(type=default_collate)))
    path = tmp_path / 'config.py'
    write_config(path, cfg, [f'images in {NAME}'])
    cfg = Config(dict(
        data_root=NAME, optimizer=dict(type='torch.optim.adamw.AdamW'),
        collate_fn=dict(type='torch.utils.data._utils.collate.default_collate')))
    assert read_written_config(path).to_dict() == Config.fromfile(path).to_dict() == cfg.to_dict()
    above = path.read_text().splitlines()[0]
    cfg.data_root = 'other'
    rewrite_config(path, cfg)
    assert path.read_text().splitlines()[0] == above
    assert read_written_config(path).data_root == 'other'
    assert not (tmp_path / 'executed').exists()


@pytest.mark.parametrize('text', [
    '_base_ = "executed.py"', 'a = "{{ fileBasename }}"', 'open("executed", "w")',
    'a = open("executed", "w")', 'a = ', 'filename = 1', 'a = ' + '(' * 3000, b'\xff'])
def test_code_is_not_run(text, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'config.py'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match='not as conmim pretrain wrote it .*is not run') as error:
        read_written_config(path)
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'executed').exists()


@pytest.mark.parametrize(('settings', 'name'), [
    (dict(custom_imports=dict(imports=['conmim_mm.registration', 'evil'])), 'evil'),
    (dict(custom_imports=dict(imports='evil.py')), 'evil.py'),
    (dict(default_scope='evil'), 'evil'),
    (dict(a=[dict(_scope_='evil')]), 'evil'),
    (dict(model=dict(type='os.system')), 'os.system'),
    (dict(model=dict(type='torch.hub.load')), 'torch.hub.load'),
    (dict(model=dict(type='mmengine.load')), 'mmengine.load'),
    (dict(collate_fn=dict(type='evil.default_collate')), 'evil.default_collate'),
    (dict(collate_fn=dict(type='mmengine.dataset.utils.default_collate'),
          b=dict(type='mmengine.dataset.utils.pseudo_collate'),
          c=dict(type='torch.utils.data._utils.collate.default_collate')), ''),
    (dict(model=dict(type='mmpretrain.ConMIM', a=dict(type='torch.optim.adamw.AdamW')),
          default_scope='mmpretrain', b=dict(type='AdamW')), ''),
])
def test_what_would_be_imported_is_named(settings, name) -> None:
    assert foreign_code(settings) == name
