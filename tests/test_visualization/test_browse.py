import numpy as np
import pytest
import torch
from browse_dataset import draw_samples
from mmengine.config import Config

from ..shards import shard_tree
from ..toy import run_cfg


@pytest.fixture
def cfg(images, tmp_path) -> Config:
    return Config(run_cfg(images, tmp_path))


def test_samples_are_spread_over_the_images(cfg, images) -> None:
    picture, paths = draw_samples(cfg, 4)
    assert paths == [str(images / name) for name in (
        'cat/0.png', 'cat/3.png', 'dog/0.png', 'dog/3.png')]
    assert ([255, 0, 0] == picture).all(axis=-1).any()  # the first image is red, its views are, too
    assert (picture != draw_samples(cfg, 4, seed=1)[0]).any()


def test_shards_and_views_made_on_the_device(cfg, images, tmp_path) -> None:
    whole, _ = draw_samples(cfg, 2)
    shard_tree(images, tmp_path / 'shards', per_shard=5)
    cfg.train_dataloader.dataset.update(
        type='TarShards', data_root=str(tmp_path / 'shards'), shards='*.tar')
    cfg.train_dataloader.dataset.pipeline[1].perturbation = dict(type='DevicePerturbation')
    picture, paths = draw_samples(cfg, 2)
    assert len(paths) == 2 and picture.shape == whole.shape


def test_no_random_numbers_are_drawn(cfg) -> None:
    state = torch.get_rng_state()
    assert np.array_equal(draw_samples(cfg, 2)[0], draw_samples(cfg, 2)[0])
    assert torch.equal(torch.get_rng_state(), state)
