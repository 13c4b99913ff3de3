"""Two processes, with DDP and with FSDP, do what one does with the batches of both."""

import os
from pathlib import Path
from unittest.mock import Mock, call

import pytest
import torch
import torch.distributed as dist

from conmim_mm.checkpoint.reading import load_checkpoint_file
from conmim_mm.distributed.launch import close_cpu_processes

from ..labelled import write_labelled_images
from ..ranks import on_ranks, train_as_a_rank
from .distributed_runs import cfg_of, train, train_all

pytestmark = pytest.mark.slow
STEPS = 10


@pytest.fixture(scope='module')
def results(images, tmp_path_factory) -> Path:
    """Folder of what ``train_all`` did on two processes, and of the same on one."""
    folder = tmp_path_factory.mktemp('runs')
    # not to be divided by two
    labelled = write_labelled_images(folder / 'labelled', count=7)
    on_ranks(train_all, images, labelled, folder).check_returncode()
    train(cfg_of(images, folder / 'one', 1, labelled), folder / 'one')
    return folder


def read(results: Path, name: str) -> list[dict]:
    """What each process noted of a run."""
    return [torch.load(path) for path in sorted(results.glob(f'{name}_?.pth'))]


def assert_same_weights(run: dict, other: dict, tolerance: float) -> None:
    assert run['weights'].keys() == other['weights'].keys()
    for key, value in run['weights'].items():
        torch.testing.assert_close(
            value, other['weights'][key], rtol=0, atol=tolerance, msg=lambda text, key=key:
            f'{key}: {text}')


def test_ddp_equals_one_process(results) -> None:
    one, = read(results, 'one')
    ranks = read(results, 'ddp')
    assert_same_weights(*ranks, tolerance=0)
    assert_same_weights(ranks[0], one, tolerance=1e-5)
    means = [sum(losses) / 2 for losses in zip(*(rank['losses'] for rank in ranks), strict=True)]
    assert len(means) == STEPS
    assert means == pytest.approx(one['losses'], abs=1e-5)
    assert ranks[0]['norms'] == pytest.approx(one['norms'], rel=1e-5)


@pytest.mark.parametrize('form', ['', 'visible-'])
def test_fsdp_equals_ddp(results, form: str) -> None:
    ddp, fsdp = read(results, f'{form}ddp'), read(results, f'{form}fsdp')
    assert_same_weights(*fsdp, tolerance=0)
    assert_same_weights(fsdp[0], ddp[0], tolerance=1e-5)
    for ours, theirs in zip(fsdp, ddp, strict=True):
        assert ours['losses'] == pytest.approx(theirs['losses'], abs=1e-5)
    # far above the 3.0 it is clipped to, over all pieces together
    assert fsdp[0]['norms'] == pytest.approx(ddp[0]['norms'], rel=1e-5)
    assert min(fsdp[0]['norms']) > 3.


def test_fsdp_resumes(results) -> None:
    whole, resumed = read(results, 'fsdp'), read(results, 'resumed')
    assert resumed[0]['losses'] == whole[0]['losses'][4:]
    assert_same_weights(resumed[0], whole[0], tolerance=0)


def test_fsdps_checkpoints_are_whole_and_plain(results) -> None:
    sharded = load_checkpoint_file(results / 'fsdp' / 'epoch_5.pth')
    ddp = load_checkpoint_file(results / 'ddp' / 'epoch_5.pth')
    assert {key: value.shape for key, value in sharded['state_dict'].items()} == {
        key: value.shape for key, value in ddp['state_dict'].items()}
    assert sharded['state_dict'].keys() == read(results, 'fsdp')[0]['weights'].keys()
    assert not list((results / 'fsdp').glob('*.tmp'))
    # biases and norms are without weight decay, although each process holds flat pieces only
    decays = [[(group['weight_decay'], len(group['params'])) for group in
               checkpoint['optimizer']['param_groups']] for checkpoint in (sharded, ddp)]
    assert decays[0] == decays[1] and len(decays[0]) == 2


def test_one_process_goes_on_from_fsdp(images, results, tmp_path) -> None:
    cfg = cfg_of(images, tmp_path / 'run', 1, resume=True,
                 load_from=str(results / 'fsdp' / 'epoch_2.pth'))
    cfg.default_hooks.start_checks.mismatch = 'rescale'
    train(cfg, tmp_path / 'run')
    assert_same_weights(*read(tmp_path, 'run'), *read(results, 'one'), tolerance=1e-5)


@pytest.mark.parametrize('name, words', [
    ('one-piece', 'FSDP cuts student and teacher differently'),
    ('of-ddp', 'was saved without FSDP'),
    ('float16', 'set optim_wrapper.dtype=bfloat16')])
def test_what_fsdp_cannot_do_is_refused_on_all(results, name: str, words: str) -> None:
    for rank in (0, 1):
        assert words in (results / f'{name}_{rank}.txt').read_text()


def test_features_are_judged_alike(results) -> None:
    one, = read(results, 'one')
    # at the start, half way and at the end
    assert [len(values) for values in one['values'].values()] == [3, 3]
    for name in ('ddp', 'fsdp'):
        for rank in read(results, name):
            assert rank['values'] == one['values']
    for name in ('one', 'ddp', 'fsdp'):
        assert len(list((results / name).glob('best_val_knn_top1_*.pth'))) == 1


@pytest.mark.parametrize('rank, last', [(0, ['gone/0', 'gone/1']), (1, ['left/0', 'left/1'])])
def test_who_keeps_the_store_leaves_last(monkeypatch, rank: int, last: list[str]) -> None:
    """Or another process, which still waits for its answer, would fail at the end of its run."""
    store = Mock()
    monkeypatch.setattr(dist.distributed_c10d, '_get_default_store', lambda: store)
    for name, value in dict(get_rank=rank, get_world_size=2, barrier=None,
                            destroy_process_group=None).items():
        monkeypatch.setattr(dist, name, lambda value=value: value)
    close_cpu_processes()
    assert store.wait.call_args == call(last)
    assert [made.args[0] for made in store.set.call_args_list] == [f'left/{rank}', f'gone/{rank}']


def train_and_list_threads(config: Path, out: Path) -> None:
    train_as_a_rank(config)
    threads = [path.read_text().strip() for path in Path('/proc/self/task').glob('*/comm')]
    Path(f'{out}_{os.environ["RANK"]}').write_text('\n'.join(threads))


def test_the_group_ends_before_the_interpreter(images, tmp_path) -> None:
    """Or a thread of it that lets go of a tensor meanwhile aborts the process, with status 134."""
    config = tmp_path / 'toy.py'
    cfg_of(images, tmp_path / 'run', 2).dump(config)
    on_ranks(train_and_list_threads, config, tmp_path / 'threads').check_returncode()
    for rank in '01':
        assert 'gloo' not in (tmp_path / f'threads_{rank}').read_text()
