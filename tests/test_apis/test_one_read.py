"""How often a command reads a checkpoint: once, and its meta apart where the weights come later."""

from collections import Counter

import pytest
import torch

from conmim_mm.checkpoint import reading
from conmim_mm.checkpoint.reading import load_checkpoint_file, read_meta
from conmim_mm.commands import main


@pytest.fixture
def reads(monkeypatch) -> Counter:
    """Counts whole reads, reads of what is no tensor, and passes over the check sums."""
    counts = Counter()
    load, check = torch.load, reading.check_file

    def counted_load(*args: object, **kwargs: object) -> object:
        counts['meta' if kwargs.get('mmap') else 'whole'] += 1
        return load(*args, **kwargs)

    def counted_check(path: object, only: str = '') -> None:
        counts['check sums'] += not only
        check(path, only)

    monkeypatch.setattr(torch, 'load', counted_load)
    monkeypatch.setattr(reading, 'check_file', counted_check)
    return counts


@pytest.mark.parametrize('name', ['epoch_2.pth', 'interrupted.pth'])
def test_resuming(run_copy, reads, name: str) -> None:
    (run_copy / 'epoch_2.pth').rename(run_copy / name)
    (run_copy / 'last_checkpoint').write_text(name)
    main(['pretrain', '--resume', '--out', str(run_copy), '--epochs', '3'])
    assert reads == {'check sums': 2, 'meta': 3, 'whole': 1}  # found whole, and then loaded
    assert read_meta(run_copy / 'epoch_3.pth')['epoch'] == 3


def test_a_finished_run_is_not_loaded(run_copy, reads) -> None:
    main(['pretrain', '--resume', '--out', str(run_copy)])
    assert reads == {'check sums': 1, 'meta': 2}


@pytest.mark.parametrize('command', ['knn', 'linear', 'embed', 'export'])
def test_frozen_features(toy, labelled, tmp_path, reads, command: str) -> None:
    out = tmp_path / 'out.npz'
    if command == 'export':
        main(['export', str(toy.out), str(tmp_path / 'out.pth'), '--format', 'timm'])
    else:
        main([command, str(toy.out), '--data', str(labelled), '--workers', '0',
              *(['--out', str(out)] if command == 'embed' else [])])
    assert reads == {'check sums': 1, 'whole': 1}


def test_meta_is_what_a_whole_read_finds(toy, tmp_path) -> None:
    path = toy.out / 'epoch_2.pth'
    assert read_meta(path) == load_checkpoint_file(path)['meta']
    # PyTorch's old format can't be mapped
    old = tmp_path / 'old.pth'
    torch.save(dict(meta=dict(epoch=7), state_dict={}), old, _use_new_zipfile_serialization=False)
    assert read_meta(old) == dict(epoch=7)
    torch.save(dict(state_dict={}), old)
    assert read_meta(old) == {}
