"""The order in which shards are read."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import sampler as mmengine_sampler
from mmengine.runner import Runner
from torch.utils.data import get_worker_info

from conmim_mm.datasets import SampleIndex, ShardSequentialSampler
from conmim_mm.datasets.samplers.shard_sequential_sampler import why_reads_scatter
from conmim_mm.engine.runners.resumable_loops import batches_from, infinite_batches
from conmim_mm.errors import InputError


class Shards(torch.utils.data.Dataset):
    """Its samples are their index, seed, epoch and the worker that read them."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.numbers = np.repeat(range(len(sizes)), sizes)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: SampleIndex) -> list[int]:
        worker = get_worker_info()
        return [int(index), index.seed, index.epoch, worker.id if worker else -1]

    def shard_numbers(self) -> np.ndarray:
        return self.numbers


def build(sizes: Sequence[int], batch_size: int = 2, epoch: int = 0,
          **kwargs) -> ShardSequentialSampler:
    sampler = ShardSequentialSampler(
        Shards(sizes), batch_size=batch_size, **dict(seed=3) | kwargs)
    sampler.set_epoch(epoch)
    return sampler


def of_ranks(world_size: int, monkeypatch: pytest.MonkeyPatch, *args,
             **kwargs) -> list[ShardSequentialSampler]:
    samplers = []
    for rank in range(world_size):
        monkeypatch.setattr(mmengine_sampler, 'get_dist_info', lambda: (rank, world_size))  # noqa: B023
        samplers.append(build(*args, **kwargs))
    return samplers


def runs(values: Sequence[int]) -> list[int]:
    """The values without repetitions in a row."""
    return [value for i, value in enumerate(values) if i == 0 or value != values[i - 1]]


def test_the_order_without_shuffling() -> None:
    # seven batches: the first piece has three, the last of which is that of a single image
    sampler = build([5, 3, 5], streams=3, shuffle=False)
    assert list(sampler) == [0, 1, 5, 6, 9, 10, 2, 3, 7, 8, 11, 12, 4]
    assert list(build([5, 3, 5], streams=1, shuffle=False)) == list(range(13))
    # more streams than batches
    assert list(build([2, 1], streams=5, shuffle=False)) == [0, 1, 2]


def test_the_last_batch_may_be_shorter_in_any_stream() -> None:
    for size in range(1, 30):
        for streams in range(1, 6):
            sampler = build([size], batch_size=3, streams=streams, shuffle=False)
            batches = [list(sampler)[i:i + 3] for i in range(0, size, 3)]
            for stream in range(streams):  # each is read in order, without gaps
                piece = [index for batch in batches[stream::streams] for index in batch]
                assert piece == list(range(piece[0], piece[0] + len(piece))) if piece else True
            assert sorted(sampler) == list(range(size))


def test_ranks_without_shuffling(monkeypatch: pytest.MonkeyPatch) -> None:
    samplers = of_ranks(3, monkeypatch, [4, 4, 3], streams=2, shuffle=False)
    # parts 0-3, 4-7 and 8-10; the last one is filled up from the start
    assert [list(sampler) for sampler in samplers] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 0]]


@pytest.mark.parametrize('sizes', [[7] * 9, [1, 30, 2, 2, 9], [40], [3, 3]])
@pytest.mark.parametrize('world_size', [1, 2, 5])
@pytest.mark.parametrize('streams, window', [(1, 1), (3, 2), (2, 100)])
def test_every_image_once(sizes: list[int], world_size: int, streams: int, window: int,
                          monkeypatch: pytest.MonkeyPatch) -> None:
    samplers = of_ranks(world_size, monkeypatch, sizes, streams=streams, window=window, epoch=4)
    drawn = [list(sampler) for sampler in samplers]
    size = sum(sizes)
    assert {len(part) for part in drawn} == {len(samplers[0])} == {-(-size // world_size)}
    counts = np.bincount([index for part in drawn for index in part], minlength=size)
    assert counts.min() == 1 and counts.sum() - size == -size % world_size
    assert counts.max() == (2 if size % world_size else 1)
    assert {(index.seed, index.epoch) for part in drawn for index in part} == {(3, 4)}


def test_shards_stay_together_and_are_shuffled() -> None:
    sizes = [5] * 8
    numbers = Shards(sizes).numbers
    orders = [list(build(sizes, window=1, epoch=epoch)) for epoch in range(30)]
    for order in orders:
        assert sorted(runs(numbers[order])) == list(range(8))  # one after another
    firsts = {numbers[order[0]] for order in orders}
    assert firsts == set(range(8))
    # and the images in each
    inside = [[index % 5 for index in order if numbers[index] == 2] for order in orders]
    assert len(set(map(tuple, inside))) > 20


def test_a_window_is_a_uniform_shuffle() -> None:
    """Of two shards of three images, each image comes first in a sixth of the epochs."""
    firsts = [next(iter(build([3, 3], window=2, epoch=epoch))) for epoch in range(1200)]
    # five standard deviations of a binomial count are 64
    assert np.abs(np.bincount(firsts, minlength=6) - 200).max() < 64


@pytest.mark.parametrize('window', [1, 2, 3])
def test_reads_stay_within_the_window(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [6, 9, 4, 5, 8, 7, 6, 5, 9, 3, 6, 7]
    numbers = Shards(sizes).numbers
    for sampler in of_ranks(2, monkeypatch, sizes, batch_size=4, streams=2, window=window):
        order = list(sampler)
        batches = [order[i:i + 4] for i in range(0, len(order), 4)]
        for stream in (0, 1):
            read = numbers[[index for batch in batches[stream::2] for index in batch]]
            # the shards of a stream, as they come first
            places = {number: place for place, number in enumerate(dict.fromkeys(read))}
            windows = [places[number] // window for number in read]
            assert windows == sorted(windows)  # never back to an earlier one
            assert np.abs(np.diff([places[number] for number in read])).max() < 2 * window


def test_ranks_share_no_shard_but_at_the_border(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [5] * 12
    numbers = Shards(sizes).numbers
    parts = [set(numbers[list(sampler)]) for sampler in of_ranks(4, monkeypatch, sizes)]
    assert all(not first & second for i, first in enumerate(parts) for second in parts[:i])
    parts = [set(numbers[list(sampler)]) for sampler in of_ranks(5, monkeypatch, sizes)]
    assert sum(map(len, parts)) <= 12 + 4


def test_seeds_and_epochs_differ_and_come_again() -> None:
    orders = {(seed, epoch): tuple(build([6] * 6, seed=seed, epoch=epoch))
              for seed in (0, 1) for epoch in (0, 1)}
    assert len(set(orders.values())) == 4
    assert all(orders[seed, epoch] == tuple(build([6] * 6, seed=seed, epoch=epoch))
               for seed, epoch in orders)


@pytest.mark.parametrize('done', [0, 1, 7, 22])
def test_it_goes_on_where_it_stopped(done: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = of_ranks(2, monkeypatch, [9] * 5, streams=2)[1]
    whole = list(sampler)
    sampler.skip(done)
    assert list(sampler) == whole[done:]
    assert list(sampler) == whole  # the epoch after it is whole again


def loader_of(sampler_cfg: dict, batch_size: int = 2, num_workers: int = 0, sizes=(4,) * 6):
    return Runner.build_dataloader(dict(
        batch_size=batch_size, num_workers=num_workers, dataset=Shards(sizes), drop_last=True,
        collate_fn=dict(type='default_collate'),
        sampler=dict(type=ShardSequentialSampler, **sampler_cfg)), seed=3)


@pytest.mark.parametrize('done', [0, 5, 12, 17, 24])
def test_endless_batches_of_its_epochs(done: int) -> None:
    settings = dict(batch_size=2, streams=2)
    epochs = [list(build([4] * 6, streams=2, epoch=epoch)) for epoch in range(3)]
    expected = [(index, 3, epoch) for epoch, order in enumerate(epochs) for index in order]
    batches = islice(infinite_batches(loader_of(settings), done), 36 - done)
    rows = [row[:3].tolist() for batch in batches for row in torch.stack(batch, dim=1)]
    assert list(map(tuple, rows)) == expected[2 * done:]


@pytest.mark.parametrize('done', [0, 3])
def test_every_worker_reads_shards_of_its_own(done: int) -> None:
    """Two pieces of three shards each, on two workers, also after a resume."""
    loader = loader_of(dict(batch_size=2, streams=2, window=1), num_workers=2)
    numbers, read = Shards((4,) * 6).numbers, {}
    for index, _, _, worker in batches_from(loader, done):
        assert len(set(worker.tolist())) == 1
        read.setdefault(worker[0].item(), set()).update(numbers[index])
    assert sorted(read) == [0, 1] and not read[0] & read[1]
    # the one whose shard was done has one less to read
    assert sorted(map(len, read.values())) == ([2, 3] if done else [3, 3])


def test_what_makes_workers_read_each_others_shards() -> None:
    good = dict(batch_size=2, streams=4)
    assert why_reads_scatter(loader_of(good, num_workers=2)) == ''
    assert why_reads_scatter(loader_of(good)) == ''
    assert 'is 2, that of the data loader 3' in why_reads_scatter(loader_of(good, batch_size=3))
    bad = dict(batch_size=2, streams=1)
    assert '1 streams for 2 data workers' in why_reads_scatter(loader_of(bad, num_workers=2))
    assert why_reads_scatter(SimpleNamespace(sampler=range(3), num_workers=2)) == ''


@pytest.mark.parametrize('setting', ['batch_size', 'streams', 'window'])
def test_bad_settings(setting: str) -> None:
    with pytest.raises(InputError) as error:
        build([3], **{setting: 0})
    assert str(error.value) == f'{setting} of ShardSequentialSampler must be at least 1, but is 0'


def test_another_kind_of_data_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'reads TarShards; for .* \(list\) take EpochSeeded'):
        ShardSequentialSampler([1, 2], batch_size=2)
