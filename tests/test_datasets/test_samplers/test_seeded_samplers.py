import copy
import os
import pickle
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import sampler as mmengine_sampler
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image
from torch.utils.data import DataLoader

from conmim_mm.datasets import EpochSeededSampler, InfiniteSeededSampler, SampleIndex, sample_rng

from ...toy import run_cfg

NUM_IMAGES = 8
Drawn = dict[str, tuple[bytes, bytes, bytes]]  # of each image: mask and both views


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same picture eight times, so that only the random numbers can make a difference."""
    root = tmp_path_factory.mktemp('images')
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for i in range(NUM_IMAGES):
        Image.fromarray(noise).save(root / f'{i}.png')
    return root


def build_loader(folder: Path, num_workers: int = 0, persistent: bool = False, seed: int = 0,
                 sampler: str = 'EpochSeededSampler', batch_size: int = 2,
                 serialize: bool = False) -> DataLoader:
    cfg = run_cfg(folder, folder, batch_size=batch_size)['train_dataloader']
    cfg.update(num_workers=num_workers, persistent_workers=persistent, drop_last=False,
               sampler=dict(type=sampler, shuffle=True))
    # Serialising is MMEngine's default, but collects garbage each time, which is slow.
    cfg['dataset']['serialize_data'] = serialize
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return Runner.build_dataloader(cfg, seed=seed)


def collect(batches) -> Drawn:
    drawn = {}
    for batch in batches:
        rows = zip(*batch['inputs'].values(), strict=True)
        for sample, row in zip(batch['data_samples'], rows, strict=True):
            name = os.path.basename(sample.img_path)
            assert name not in drawn
            drawn[name] = tuple(tensor.numpy().tobytes() for tensor in row)
    assert len(drawn) == NUM_IMAGES
    return drawn


def run_epoch(loader: DataLoader, epoch: int) -> Drawn:
    loader.sampler.set_epoch(epoch)  # what MMEngine's epoch-based loop does
    return collect(loader)


def differ(a: Drawn, b: Drawn) -> bool:
    """Whether views and mask of every image differ (two equal masks of 12,870: unlikely)."""
    return all(part != other for name in a for part, other in zip(a[name], b[name], strict=True))


def test_epochs_differ_and_neither_workers_nor_batches_change_a_sample(folder: Path) -> None:
    expected = [run_epoch(build_loader(folder), epoch) for epoch in (0, 1, 2)]
    assert differ(expected[0], expected[1]) and differ(expected[1], expected[2])
    assert differ(expected[0], expected[2])
    for settings in (dict(num_workers=1, serialize=True), dict(num_workers=2, persistent=True),
                     dict(num_workers=2, batch_size=3)):
        loader = build_loader(folder, **settings)
        assert [run_epoch(loader, epoch) for epoch in (0, 1, 2)] == expected


def test_an_epoch_can_be_run_again(folder: Path) -> None:
    loader = build_loader(folder)
    first = [run_epoch(loader, epoch) for epoch in (0, 1)]
    assert run_epoch(loader, 1) == first[1] and run_epoch(loader, 0) == first[0]
    torch.manual_seed(1)  # resumed in a new process
    np.random.seed(1)
    assert run_epoch(build_loader(folder), 1) == first[1]


def test_images_and_seeds_differ(folder: Path) -> None:
    drawn = run_epoch(build_loader(folder, seed=0), 0)
    assert all(len(set(part)) == NUM_IMAGES for part in zip(*drawn.values(), strict=True))
    assert differ(drawn, run_epoch(build_loader(folder, seed=1), 0))


def test_one_generator_goes_through_the_whole_pipeline() -> None:
    # so that no transform repeats another's numbers
    results = dict(sample_idx=SampleIndex(3, seed=1, epoch=2))
    expected = np.random.default_rng([1, 2, 3]).random(4)
    drawn = [sample_rng(results).random() for _ in range(4)]
    assert drawn == expected.tolist()
    assert sample_rng(results) is results['rng']


@pytest.mark.parametrize('num_workers', [0, 2])
def test_passes_of_the_infinite_sampler(folder: Path, num_workers: int) -> None:
    loader = build_loader(folder, num_workers, persistent=num_workers > 0,
                          sampler='InfiniteSeededSampler')
    batches = iter(loader)
    passes = [collect(islice(batches, NUM_IMAGES // 2)) for _ in range(3)]
    # A pass is an epoch: the same numbers whichever sampler brings them.
    assert passes == [run_epoch(build_loader(folder), epoch) for epoch in range(3)]


@pytest.mark.parametrize('num_workers, persistent', [(0, False), (2, False), (2, True)])
def test_mmengines_own_sampler_repeats_nothing_either(
        folder: Path, num_workers: int, persistent: bool) -> None:
    loader = build_loader(folder, num_workers, persistent, sampler='DefaultSampler')
    epochs = [run_epoch(loader, epoch) for epoch in (0, 1, 2)]
    everything = [part for epoch in epochs for part in epoch.values()]
    for kind in zip(*everything, strict=True):
        assert len(set(kind)) == len(everything)


class WorkerNumpySeed(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        return np.random.randint(2**31 - 1)


def test_the_trap_is_still_there() -> None:
    """MMEngine seeds NumPy in a worker the same in every epoch: the reason for our generator."""
    cfg = dict(batch_size=1, num_workers=2, persistent_workers=False, dataset=WorkerNumpySeed(),
               sampler=dict(type='DefaultSampler', shuffle=False))
    loader = Runner.build_dataloader(cfg, seed=0)
    first, second = ([int(batch[0]) for batch in loader] for _ in range(2))
    assert first == second


def test_process_generators_differ_between_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {}
    for rank in ('0', '1', '0'):
        monkeypatch.setenv('RANK', rank)
        torch.manual_seed(5)  # all ranks alike
        drawn.setdefault(rank, []).append(sample_rng({}).random())
    assert drawn['0'][0] != drawn['1'][0]
    assert drawn['0'][0] == drawn['0'][1]  # by nothing but seed and rank


def test_process_generator_goes_on() -> None:
    assert len({sample_rng({}).random() for _ in range(100)}) == 100


@pytest.mark.parametrize('copied', [
    lambda index: pickle.loads(pickle.dumps(index)), copy.copy, copy.deepcopy])
def test_sample_index_survives_copying(copied) -> None:
    index = copied(SampleIndex(7, seed=3, epoch=5))
    assert isinstance(index, SampleIndex)
    assert (index, index.seed, index.epoch) == (7, 3, 5)
    assert ['x'] * 7 + ['y'] == ['x'] * index + ['y']  # and is an int


def of_rank(cls: type, rank: int, monkeypatch: pytest.MonkeyPatch, world_size: int = 2,
            size: int = NUM_IMAGES, **kwargs):
    monkeypatch.setattr(mmengine_sampler, 'get_dist_info', lambda: (rank, world_size))
    return cls(range(size), **dict(seed=4) | kwargs)


def drawn_keys(indices) -> list[tuple[int, int, int]]:
    return [(int(index), index.seed, index.epoch) for index in indices]


def test_ranks_share_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    samplers = [of_rank(EpochSeededSampler, rank, monkeypatch) for rank in (0, 1)]
    for sampler in samplers:
        sampler.set_epoch(6)
    keys = [drawn_keys(sampler) for sampler in samplers]
    assert [len(part) for part in keys] == [4, 4]
    assert sorted(keys[0] + keys[1]) == [(i, 4, 6) for i in range(NUM_IMAGES)]


@pytest.mark.parametrize('size', [8, 7])
def test_ranks_share_the_endless_sequence(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [drawn_keys(islice(of_rank(InfiniteSeededSampler, rank, monkeypatch, size=size),
                              size)) for rank in (0, 1)]
    # Two ranks, `size` samples each: two passes over all images, no sample of a pass twice.
    expected = [(i, 4, epoch) for i in range(size) for epoch in (0, 1)]
    assert sorted(keys[0] + keys[1]) == expected
    assert [key for pair in zip(*keys, strict=True) for key in pair] == drawn_keys(
        islice(of_rank(InfiniteSeededSampler, 0, monkeypatch, world_size=1, size=size), 2 * size))


def test_without_a_seed_one_is_drawn() -> None:
    index = next(iter(EpochSeededSampler(range(3), seed=None)))
    assert isinstance(index.seed, int) and index.seed >= 0


@pytest.mark.parametrize('size', [1, 7, 30])
@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('rank', [0, 1])
def test_resumed_sampler_goes_on_where_it_stopped(
        rank: int, shuffle: bool, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    options = dict(size=size, shuffle=shuffle)
    through = drawn_keys(islice(of_rank(InfiniteSeededSampler, rank, monkeypatch, **options), 40))
    resumed = of_rank(InfiniteSeededSampler, rank, monkeypatch, **options)
    resumed.skip(23)
    assert drawn_keys(islice(resumed, 17)) == through[23:]
    # an iterator that was given up is taken up where it stood
    assert drawn_keys(islice(resumed, 2)) == drawn_keys(islice(
        of_rank(InfiniteSeededSampler, rank, monkeypatch, **options), 42))[-2:]


def test_an_epoch_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = of_rank(EpochSeededSampler, 1, monkeypatch)
    whole = drawn_keys(sampler)
    sampler.skip(3)
    assert drawn_keys(sampler) == whole[3:]
    assert drawn_keys(sampler) == whole  # the epoch after it is whole again
