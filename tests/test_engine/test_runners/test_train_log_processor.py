"""A training line names what is looked for first, and what is written elsewhere stays as it is."""

from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub
from mmengine.runner import LogProcessor

from conmim_mm.engine import TrainLogProcessor


@pytest.fixture
def runner(monkeypatch) -> SimpleNamespace:
    monkeypatch.setattr('mmengine.runner.log_processor.is_cuda_available', lambda: True)
    monkeypatch.setattr(LogProcessor, '_get_max_memory', lambda self, runner: 21034)
    hub = MessageHub('log processor')
    values = dict(lr=1.23456e-3, base_lr=1.23456e-3, data_time=0.0123, time=0.61234,
                  grad_norm=1.5, loss=3.21444, hit_rate=0.25, momentum=0.996123,
                  data_wait=0.0201, images_per_second=3344.26, note=7)
    for name, value in values.items():
        hub.update_scalar(f'train/{name}', value)
    hub.update_info('eta', 3725.8)
    loop = SimpleNamespace(dataloader=[0] * 625)
    return SimpleNamespace(message_hub=hub, epoch=2, max_epochs=800, iter=2 * 625 + 99,
                           max_iters=500_000, train_loop=loop, _train_loop=loop)


@pytest.mark.parametrize('by_epoch, header', [
    (True, 'Epoch(train)   [3][100/625]  '), (False, 'Iter(train) [  1350/500000]  ')])
def test_line(runner, by_epoch: bool, header: str) -> None:
    tag, line = TrainLogProcessor(by_epoch=by_epoch).get_log_after_iter(runner, 99, 'train')
    assert line == (
        f'{header}eta: 1:02:05  loss: 3.2144  hit_rate: 0.2500  lr: 1.23e-03  momentum: 0.99612  '
        'images_per_second: 3344.3  data_wait: 2%  time: 0.612  memory: 21034 MB  '
        'grad_norm: 1.5000  note: 7')
    assert tag == LogProcessor(by_epoch=by_epoch).get_log_after_iter(runner, 99, 'train')[0]


def test_another_base_rate_is_named(runner) -> None:
    runner.message_hub.update_scalar('train/base_lr', 2e-3)
    _, line = TrainLogProcessor().get_log_after_iter(runner, 99, 'train')
    assert 'lr: 1.23e-03' in line and 'base_lr: 2.00e-03' in line


def test_a_hierarchy_and_no_times(runner) -> None:
    runner.message_hub.log_scalars.pop('train/time')
    processor = TrainLogProcessor(log_with_hierarchy=True)
    tag, line = processor.get_log_after_iter(runner, 99, 'train')
    assert 'eta' not in line and '  loss: 3.2144  ' in line and tag['train/loss'] == 3.21444
