"""Training from tar shards: as from a folder, resumed exactly, and in spite of damage."""

import os
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from run_comparison import entries_by_step, run_differences

from ..runs import STEPS, resumable_cfg, stop_after
from ..shards import shard_tree
from ..toy import run_cfg, write_noise_images
from .test_hooks.test_skipped_images_hook import skipped


@pytest.fixture
def shards(images, tmp_path: Path) -> Path:
    """0.tar to 3.tar, of three images each."""
    return shard_tree(images, tmp_path / 'shards', per_shard=3)


def shards_cfg(shards: Path, work_dir: Path, workers: int = 0, sampler: dict | None = None,
               **overrides) -> dict:
    work_dir.mkdir(exist_ok=True)
    cfg = run_cfg(shards, work_dir, epochs=4, **overrides)
    loader = cfg['train_dataloader']
    loader.update(num_workers=workers, persistent_workers=workers > 0)
    loader['dataset'].update(type='TarShards', shards='*.tar')
    loader['sampler'] = sampler or dict(
        type='ShardSequentialSampler', batch_size=4, streams=2, window=2)
    return cfg


@pytest.mark.parametrize('workers', [0, 2])
def test_shards_train_as_the_folder_does(images, shards, tmp_path, workers: int) -> None:
    expected = Runner.from_cfg(run_cfg(images, tmp_path / 'folder', epochs=4)).train()
    model = Runner.from_cfg(shards_cfg(
        shards, tmp_path / 'run', workers,
        sampler=dict(type='EpochSeededSampler', shuffle=True))).train()
    trained = model.state_dict()
    assert all(torch.equal(value, trained[key]) for key, value in expected.state_dict().items())


def build(shards: Path, work_dir: Path, by_epoch: bool, workers: int) -> Runner:
    loader = shards_cfg(shards, work_dir, workers)['train_dataloader']
    return Runner.from_cfg(resumable_cfg(shards, work_dir, by_epoch, train_dataloader=loader))


@pytest.mark.parametrize('by_epoch', [True, False], ids=['epochs', 'iterations'])
@pytest.mark.parametrize('workers', [0, 2])
def test_resumed_equals_undisturbed(shards, tmp_path, by_epoch: bool, workers: int) -> None:
    # neither the number of workers nor the stop makes a difference
    build(shards, tmp_path / 'whole', by_epoch, workers=0).train()
    stop_after(build(shards, tmp_path / 'part', by_epoch, workers), 5)
    build(shards, tmp_path / 'part', by_epoch, workers).train()
    assert set(entries_by_step(tmp_path / 'part')) == set(range(1, STEPS + 1))
    assert run_differences(tmp_path / 'part', tmp_path / 'whole') == []


@pytest.mark.parametrize('workers', [0, 2])
def test_bad_images_and_shards_are_skipped_and_counted(tmp_path, workers: int) -> None:
    folder = tmp_path / 'tree'
    folder.mkdir()
    write_noise_images(folder, count=20, side=40)
    (folder / '11.png').write_text('no image')
    shards = shard_tree(folder, tmp_path / 'shards', per_shard=5)
    os.truncate(shards / '2.tar', os.path.getsize(shards / '2.tar') // 2)
    cfg = shards_cfg(shards, tmp_path / 'run', workers)
    cfg['default_hooks']['skipped_images'] = dict(type='SkippedImagesHook', max_share=0.5)
    runner = Runner.from_cfg(cfg)
    assert len(runner.train_dataloader.dataset) == 17  # what is left of 2.tar has two
    (shards / '3.tar').unlink()
    runner.train()
    lost = [f'{shards}/3.tar/{name}.png' for name in (6, 7, 8, 9, 5)]
    lines = (tmp_path / 'run' / 'skipped.txt').read_text().splitlines()
    assert {line.split('\t')[0] for line in lines} == {f'{shards}/0.tar/11.png', *lost}
    found = skipped(tmp_path / 'run')
    assert {reason for _, reason in found.values()} == {'not an image', 'no such file'}
    assert found['11.png'][1] == 'not an image'


def test_settings_that_scatter_the_reads_are_told(shards, tmp_path, monkeypatch) -> None:
    runner = Runner.from_cfg(shards_cfg(
        shards, tmp_path / 'run', sampler=dict(type='ShardSequentialSampler', batch_size=3)))
    warnings = []
    monkeypatch.setattr(runner.logger, 'warning', warnings.append)
    runner.train()
    assert any('batch_size of ShardSequentialSampler is 3' in text for text in warnings)
