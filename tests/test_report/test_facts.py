import subprocess
from pathlib import Path

import mmpretrain
import torch
from torch.utils.data import DataLoader, TensorDataset

import conmim_mm
from conmim_mm.datasets import ImageFiles, LoadTwoViews
from conmim_mm.report.facts import code_state, data_facts, machine, versions


def git(folder: Path, *args: str) -> None:
    subprocess.run(['git', '-c', 'user.name=a', '-c', 'user.email=a@b', *args], cwd=folder,
                   check=True, capture_output=True)


def test_state_of_the_checkout(tmp_path) -> None:
    package = tmp_path / 'package'
    package.mkdir()
    (package / '__init__.py').touch()
    assert code_state(package) == dict(commit='not a git checkout')
    git(tmp_path, 'init', '-b', 'trunk')
    # as where a package is installed below somebody's own checkout
    assert code_state(package) == dict(commit='not a git checkout')
    git(tmp_path, 'add', '.')
    git(tmp_path, 'commit', '-m', 'Begin')
    state = code_state(package)
    assert ', Begin (' in state['commit'] and len(state['commit'].split(',')[0]) == 40
    assert (state['branch'], state['uncommitted changes']) == ('trunk', 'none')
    (package / '__init__.py').write_text('a = 1')
    assert code_state(package)['uncommitted changes'] == '1 changed files: package/__init__.py'


def test_without_git(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    assert code_state(Path(__file__).parents[2] / 'conmim_mm') == dict(
        commit='not a git checkout')


def test_versions_and_machine() -> None:
    found = versions()
    assert found['torch'] == torch.__version__ and found['conmim_mm'] == conmim_mm.__version__
    assert found['mmpretrain'] == mmpretrain.__version__
    assert machine()['processes'] == '1' and all(machine().values())


def test_any_data_set() -> None:
    loader = DataLoader(TensorDataset(torch.zeros(1200)), batch_size=8)
    assert data_facts(loader) == {
        'data set': 'TensorDataset', 'images': '1,200', 'batch': '8 images', 'workers': '0',
        'order': 'SequentialSampler'}


def test_what_is_left_out_and_how_the_rest_is_read(tmp_path) -> None:
    for name in ('a.tif', 'b.txt'):
        (tmp_path / name).touch()
    pipeline = [LoadTwoViews(reading=dict(channels=13, value_range=(0, 9)))]
    facts = data_facts(DataLoader(ImageFiles(data_root=str(tmp_path), pipeline=pipeline)))
    assert facts['left out'] == '1 .txt'
    assert facts['read with'] == 'channels 13, value_range (0, 9)'
