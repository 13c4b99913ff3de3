import numpy as np
import pytest
import torch
from browse_dataset import training_samples
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image

from ..shards import shard_tree
from ..toy import run_cfg


@pytest.fixture
def cfg(images, tmp_path) -> Config:
    return Config(run_cfg(images, tmp_path))


def test_samples_are_those_of_a_run(cfg, images) -> None:
    init_default_scope('mmpretrain')
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=3)
    loader.sampler.set_epoch(2)
    batch = next(iter(loader))
    samples = training_samples(cfg, 4, seed=3, epoch=2)
    for key in ('student_view', 'teacher_view', 'mask'):
        shown = np.stack([getattr(sample, key) for sample in samples])
        fed = batch['inputs'][key]
        assert (shown == (fed if key == 'mask' else fed.permute(0, 2, 3, 1)).numpy()).all()
    for sample in samples:
        assert (sample.original == np.asarray(Image.open(sample.path))).all()
    first = training_samples(cfg, 4, seed=3, epoch=0)
    assert [one.path for one in first] != [one.path for one in samples]


def test_shards_and_views_made_on_the_device(cfg, images, tmp_path) -> None:
    shard_tree(images, tmp_path / 'shards', per_shard=5)
    cfg.train_dataloader.dataset.update(
        type='TarShards', data_root=str(tmp_path / 'shards'), shards='*.tar')
    cfg.train_dataloader.dataset.pipeline[1].perturbation = dict(
        type='DevicePerturbation', jitter_prob=0., grey_prob=0., blur_prob=0., solarise_prob=1.,
        solarise_threshold=0)
    cfg.train_dataloader.sampler = dict(type='InfiniteSeededSampler', shuffle=False)
    samples = training_samples(cfg, 12)
    assert len(samples) == 12
    assert samples[0].original.shape == (40, 70, 3)
    # solarised from level 0 on: inverted
    assert (samples[3].teacher_view == 255 - samples[3].student_view).all()


def test_an_unreadable_image_is_not_shown(cfg, images, tmp_path) -> None:
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'a.png').write_bytes((images / 'dog' / '1.png').read_bytes())
    (tmp_path / 'data' / 'b.png').write_bytes(b'no image')
    cfg.train_dataloader.dataset.data_root = str(tmp_path / 'data')
    samples = training_samples(cfg, 9)
    assert [sample.path.endswith('a.png') for sample in samples] == [True, True]


def test_no_random_numbers_are_drawn(cfg) -> None:
    state = torch.get_rng_state()
    training_samples(cfg, 2)
    assert torch.equal(torch.get_rng_state(), state)
