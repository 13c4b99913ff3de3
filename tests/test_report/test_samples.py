import random

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS
from PIL import Image

from conmim_mm.datasets.sample_rng import SampleIndex, sample_rng
from conmim_mm.models import ConMIMDataPreprocessor
from conmim_mm.report.progress import SAMPLES, read_json
from conmim_mm.report.samples import sample_inputs, write_samples
from conmim_mm.utils.random_state import keeping_random_state
from conmim_mm.visualization.holes import HOLE

from ..toy import run_cfg, write_noise_images


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    images = write_noise_images(tmp_path_factory.mktemp('images'), count=8, side=40)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(run_cfg(images, images)['train_dataloader']['dataset'])


def test_samples_are_what_training_sees(dataset, tmp_path) -> None:
    preprocessor = ConMIMDataPreprocessor()
    inputs, paths = sample_inputs(dataset, preprocessor, 2, seed=3)
    assert [path.rsplit('/')[-1] for path in paths] == ['0.png', '4.png']  # evenly spread
    write_samples(tmp_path, inputs, paths, preprocessor)
    for number, index in enumerate((0, 4)):
        expected = dataset[SampleIndex(index, 3)]['inputs']
        entry = read_json(tmp_path, SAMPLES, [])[number]
        for view in ('student', 'teacher'):
            written = np.asarray(Image.open(tmp_path / 'report' / entry['files'][view]))
            assert np.array_equal(written, expected[f'{view}_view'].permute(1, 2, 0).numpy())
        hidden = expected['mask'].reshape(4, 4).repeat_interleave(8, 0).repeat_interleave(8, 1)
        masked = np.asarray(Image.open(tmp_path / 'report' / entry['files']['masked']))
        assert np.array_equal(masked, np.where(
            hidden[..., None], HOLE, expected['student_view'].permute(1, 2, 0)))
        assert (entry['hidden'], entry['num_patches']) == (0.5, 16)
        assert torch.equal(inputs['mask'][number], expected['mask'])


def test_generators_are_kept() -> None:
    def draw() -> tuple:
        foreign = sample_rng({}).random()  # of a sampler that is not ours
        return foreign, torch.rand(1).item(), float(np.random.rand()), random.random()

    draw()
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    with keeping_random_state():
        inside = draw()
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1]) and random.getstate() == states[2]
    assert draw() == inside


def test_other_tasks_have_none() -> None:
    labelled = [dict(inputs=torch.zeros(3, 8, 8), data_samples=None)] * 3
    assert sample_inputs(labelled, ConMIMDataPreprocessor(), 2, seed=0) is None
    assert sample_inputs([], ConMIMDataPreprocessor(), 2, seed=0) is None
