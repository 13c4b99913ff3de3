"""A file that a user named and that is there already stays, whatever writes it."""

import os
from pathlib import Path

import pytest

from conmim_mm.apis import export

from ..conftest import CONFIGS
from ..toy import save_scenes_model

SCENES = 'vit-tiny_1xb32_scenes-64px.py'
# What is typed, and what it would write; nothing else that is named is there.
COMMANDS = [
    ('knn x.pth --data x --json out.json', 'out.json'),
    ('linear x.pth --data x --json out.json', 'out.json'),
    ('embed x.pth --data x --out out.npz', 'out.npz'),
    ('embed x.pth --data x --out out.parquet', 'out.parquet'),
    ('export x.pth out.pth --format timm', 'out.pth'),
    ('export x.pth out.pth --format official', 'out.pth'),
    ('export x.pth out.pth --format mmpretrain', 'out.pth'),
    ('export x.pth out --format transformers', 'out/config.json'),
    ('export x.pth out --format transformers', 'out/model.safetensors'),
    ('model_converters/conmim_to_mm.py x.pth out.pth', 'out.pth'),
    ('visualization/attention.py x.pth x.png --out out.png', 'out.png'),
    ('visualization/explain.py x.pth x.png --out out', 'out/attention.png'),
    ('visualization/feature_map.py x.npz --out out.png', 'out.png'),
    (f'visualization/browse_dataset.py {CONFIGS}/conmim/{SCENES} --data-root x --out out.png',
     'out.png'),
    (f'test.py {CONFIGS}/classification/{SCENES} x.pth --data-root . --out out.pkl',
     'out.pkl'),
]


def make_link(path: Path) -> None:
    path.symlink_to('nowhere')


@pytest.mark.parametrize('make', [Path.touch, make_link])
@pytest.mark.parametrize('typed, name', COMMANDS)
def test_only_overwrite_replaces_it(refused, fails, tmp_path, monkeypatch, typed: str, name: str,
                                    make) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    make(path)
    call = refused if '.py' in typed.split()[0] else fails
    words = f'error: {path} exists already: add --overwrite to replace it, or give another name'
    assert call(*typed.split()) == words
    # then it is about what is not there, and the file stays all the same
    assert 'exists already' not in call(*typed.split(), '--overwrite')
    assert os.path.lexists(path) and (path.is_symlink() or path.stat().st_size == 0)


def test_what_else_is_in_a_folder_stays(tmp_path) -> None:
    save_scenes_model(tmp_path / 'a.pth')
    out = tmp_path / 'out'
    out.mkdir()
    for name in ('config.json', 'other'):
        (out / name).write_text('old')
    export(tmp_path / 'a.pth', out, 'transformers', overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == [
        'config.json', 'model.safetensors', 'other', 'preprocessor_config.json']
    assert (out / 'other').read_text() == 'old' != (out / 'config.json').read_text()
