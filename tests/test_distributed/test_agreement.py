"""Processes that were given different things stop at the start, all of them, and say in what."""

import shutil
import zlib
from pathlib import Path

import pytest
from mmengine.config import Config

from conmim_mm.datasets import ImageFiles
from conmim_mm.distributed.agreement import (
    _contents,
    _settings,
    describe_disagreement,
    names_checksum,
)

from ..ranks import train_on_ranks
from ..toy import run_cfg


@pytest.fixture
def train(images, tmp_path):
    """Trains on two processes with a text after the config; returns the error of each."""
    def call(more: str) -> list[str]:
        config = tmp_path / 'config.py'
        Config(run_cfg(images, tmp_path / 'run', experiment_name='agree',
                       custom_imports=dict(imports=['conmim_mm.registration']))).dump(config)
        config.write_text(config.read_text() + more)
        stopped = train_on_ranks(config)
        assert stopped.returncode != 0
        assert not list((tmp_path / 'run').glob('*.pth'))
        errors = [line for line in stopped.stderr.splitlines() if 'error: ' in line]
        assert len(errors) == 2
        return errors

    return call


def test_what_differs_is_named() -> None:
    same = dict(size=3, first='a')
    assert describe_disagreement([same, dict(same), dict(same)]) == ''
    assert describe_disagreement([same, same, dict(same, size=2)]) == (
        'on rank 2 size is 2, on rank 0 3')
    assert describe_disagreement([same, dict(size=3), dict(size=4), same]) == (
        'on rank 1 first is missing, on rank 0 a (ranks 1, 2 differ from it)')
    assert describe_disagreement([dict(size=3), same]) == 'on rank 1 first is a, on rank 0 missing'


def test_settings_have_names_and_no_addresses() -> None:
    cfg = dict(a=dict(b=[dict(c=1), dict(c='x')], d=[1, 2], e={}), f=None, g=describe_disagreement)
    assert _settings(cfg) == {
        'a.b.0.c': '1', 'a.b.1.c': "'x'", 'a.d': '[1, 2]', 'a.e': '{}', 'f': 'None',
        'g': 'describe_disagreement'}


class Images:
    """A data set as far as the comparison looks at it."""

    def __init__(self, root: str, names: list[str]) -> None:
        self.data_root, self.names = root, names

    def __len__(self) -> int:
        return len(self.names)

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=self.data_root + self.names[index])


def test_data_are_compared_below_their_root() -> None:
    names = [f'/{i}.png' for i in range(20)]
    here = _contents(Images('/node0/data', names))
    assert here == _contents(Images('/node1/data', names))
    with_slash = Images('/node1/data/', [name[1:] for name in names])
    assert here == _contents(with_slash)
    assert here['the number of samples'] == 20 and here['the last image'] == '/19.png'

    renamed = _contents(Images('/node1/data', [*names[:10], '/10.jpg', *names[11:]]))
    assert "the check sum of the images' names" in describe_disagreement([here, renamed])
    assert describe_disagreement([here, _contents(Images('/node0/data', names[:-1]))]).startswith(
        'on rank 1 the number of samples is 19, on rank 0 20')


def test_where_the_data_lie_each_says_for_itself() -> None:
    loader = dict(dataset=dict(dataset=dict(data_root='/a', data_prefix=dict(img_path='b'))))
    settings = dict(data_root='/a', train_dataloader=loader, val_dataloader=loader, work_dir='/w',
                    started_with=dict(data='/a'), test_evaluator=[dict(ann_file='/a/b.json')])
    assert [*_settings(settings)] == ['work_dir']


def in_folders(*roots: Path) -> ImageFiles:
    return ImageFiles(data_root=[*map(str, roots)], serialize_data=False)


def test_several_folders_may_each_lie_elsewhere(tmp_path) -> None:
    for name in ('a/0.png', 'a/x/1.png', 'b/a/2.png', 'n/elsewhere/0.png', 'n/elsewhere/x/1.png',
                 'n/deep/er/2.png'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    here, there = (in_folders(tmp_path / a, tmp_path / b) for a, b in (
        ('a', 'b/a'), ('n/elsewhere', 'n/deep/er')))
    assert names_checksum(here) == names_checksum(there)
    assert _contents(here) == _contents(there) != _contents(in_folders(*here.folders[::-1]))
    assert _contents(here)['the last image'] == '2:/2.png'
    assert names_checksum(here) != names_checksum(in_folders(*here.folders[::-1]))
    # of one folder as checkpoints have had it all along, relative to what the images have in common
    assert names_checksum(in_folders(tmp_path / 'a')) == zlib.crc32(b'0.png\nx/1.png')
    assert names_checksum(in_folders(tmp_path / 'b')) == zlib.crc32(b'2.png')


@pytest.mark.slow
def test_other_config(train) -> None:
    errors = train("\nimport os\nif os.environ.get('RANK') == '1':\n"
                   "    model['backbone']['arch']['feedforward_channels'] = 96\n")
    assert all('different configs: on rank 1 model.backbone.arch.feedforward_channels is 96, '
               'on rank 0 48' in line for line in errors)


# A node whose disk lacks a file: the config is the same there.
ONE_IMAGE_LESS = '''
import os
from conmim_mm.datasets import ImageFiles
if os.environ['RANK'] == '1':
    whole = ImageFiles._scan_folders
    ImageFiles._scan_folders = lambda self: whole(self)[:-1]
'''


@pytest.mark.slow
def test_other_data(train, tmp_path) -> None:
    (tmp_path / 'one_image_less.py').write_text(ONE_IMAGE_LESS)
    errors = train(
        "\ncustom_imports = dict(imports=['conmim_mm.registration', 'one_image_less'])\n")
    assert all('different data: on rank 1 the number of samples is 11, on rank 0 12' in line
               for line in errors)


@pytest.mark.slow
def test_each_node_has_its_folders_elsewhere(images, tmp_path) -> None:
    config = tmp_path / 'config.py'
    Config(run_cfg(images, tmp_path / 'run', experiment_name='agree',
                   custom_imports=dict(imports=['conmim_mm.registration']))).dump(config)
    for name in ('0/a', '0/b', '1/x', '1/b'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copytree(images, tmp_path / name)
    config.write_text(
        config.read_text() + "\nimport os\ntrain_dataloader['dataset']['data_root'] = ["
        f"'{tmp_path}/0/a', '{tmp_path}/0/b'] if os.environ.get('RANK') == '0' else ["
        f"'{tmp_path}/1/x', '{tmp_path}/1/b']\n")
    assert train_on_ranks(config).returncode == 0
    assert (tmp_path / 'run' / 'epoch_2.pth').is_file()
