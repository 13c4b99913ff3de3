"""Fixtures of tests that start whole runs."""

from pathlib import Path

import pytest
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from conmim_mm.models import ConMIM

from .toy import run_cfg, write_noise_images


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    return write_noise_images(tmp_path_factory.mktemp('images'), count=12, side=40)


@METRICS.register_module(force=True)
class Rising(BaseMetric):
    """A score that is one higher after every validation."""

    validations = 0

    def process(self, data_batch: dict, data_samples: list) -> None:
        self.results.append(0.)

    def compute_metrics(self, results: list) -> dict:
        type(self).validations += 1
        return dict(score=self.validations)


@pytest.fixture
def validated(images, monkeypatch) -> dict:
    """Settings of a run that validates after every epoch, by looking at four batches."""
    monkeypatch.setattr(ConMIM, 'val_step', lambda self, data: [None], raising=False)
    monkeypatch.setattr(Rising, 'validations', 0)
    return dict(
        val_dataloader=run_cfg(images, images)['train_dataloader'] | dict(batch_size=3),
        val_cfg=dict(), val_evaluator=dict(type='mmengine.Rising'))
