"""tools/benchmarks/bench_step.py, its variants and its worker."""

import json

import bench_step as bench
import pytest
import step_variants as variants
import step_worker
import torch

from ..ranks import SERVER

SETTINGS = variants.Settings('tiny', 64, 'float32', 'cpu')


def test_plain_step_is_the_same_mathematics() -> None:
    logs = []
    for build in (variants.ours, variants.plain):
        torch.manual_seed(0)
        variant = build(SETTINGS)
        steps = [variant.step(variant.batch(4)) for _ in range(4)]
        logs.append([(step['loss'].item(), step['hit_rate'].item()) for step in steps])
    ours, plain = logs
    assert len({loss for loss, _ in ours}) == 4
    for mine, theirs in zip(ours, plain, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3)
    # the first step's weights are the same to the last bit
    assert ours[0][0] == pytest.approx(plain[0][0], rel=1e-6)


@pytest.mark.parametrize('name', ['mmpretrain BEiT', 'mmpretrain MAE'])
def test_mmpretrains_steps_train_at_any_size(name: str) -> None:
    torch.manual_seed(0)
    variant = variants.VARIANTS[name](SETTINGS._replace(img_size=96))
    data = variant.batch(2)
    losses = [variant.step(data)['loss'] for _ in range(3)]
    assert torch.stack(losses).isfinite().all() and len(set(losses)) == 3


def test_worker_counts_as_many_steps_as_asked(monkeypatch) -> None:
    steps, clock = [], iter([10., 16.])
    monkeypatch.setattr(step_worker.time, 'perf_counter', lambda: next(clock))
    assert step_worker.seconds_per_step(lambda: steps.append(1), 3) == 2.
    assert len(steps) == 3


class FakeWorker:
    """Steps of 2 seconds, but of 4 in the second round."""

    def __init__(self, variant, settings, batch, processes) -> None:
        self.variant, self.processes = variant, processes
        self.seconds, self.peak_mib = [], None
        self.failure = 'out of memory' if 'compiled' in variant else None

    def round(self) -> None:
        self.seconds.append(4. if len(self.seconds) == 1 else 2.)

    def end(self) -> None:
        self.peak_mib = 1234.


@pytest.fixture
def call(run_script, monkeypatch, capsys):
    monkeypatch.setattr(bench, 'Worker', FakeWorker)
    monkeypatch.setattr(bench, 'matmul_rate', lambda settings: 2e12)

    def call(*args: object) -> str:
        run_script(bench, *args)
        return capsys.readouterr().out

    return call


def test_numbers_by_hand(call, monkeypatch) -> None:
    monkeypatch.setattr(bench, 'step_flops', lambda cfg: dict(linear=7e10, attention=1e10))
    result = json.loads(call('--arch', 'tiny', '--img-size', 64, '--batch', 10, '--rounds', 3,
                             '--dtype', 'float32', '--device', 'cpu', '--processes', 2, '--json'))
    assert result['matmul_tflops'] == pytest.approx(2.)
    rows = result['variants']
    assert rows['ours, compiled'] == dict(failure='out of memory')
    numbers = dict(images_per_second=10., slowest=5., fastest=10., peak_mib=1234.)
    assert rows['mmpretrain BEiT'] == pytest.approx(numbers)
    # 0.8 TFLOP in 2 seconds of half the cores
    assert rows['ours'] == pytest.approx(numbers | dict(matmul_share=0.4))
    assert (result['batch'], result['img_size'], result['processes']) == (10, 64, 2)


def test_table(call) -> None:
    lines = call('--arch', 'tiny', '--dtype', 'float32', '--device', 'cpu', '--variants', 'ours',
                 'ours, compiled', '--batch', 8).splitlines()
    assert lines[0].startswith('tiny, 1 x 8 x 224 x 224, float32, ')
    assert lines[2].split()[:5] == ['ours', '4', '2', '4', '1,234']
    assert lines[3].split(maxsplit=2) == ['ours,', 'compiled', 'failed: out of memory']
    assert len(lines) == 4


@pytest.mark.parametrize('args, words', [
    (('--batch', 0), '--batch must be at least 1'),
    (('--img-size', 0), '--img-size must be at least 1'),
    (('--img-size', 100), '--img-size must be divisible by 32, but is 100'),
    (('--rounds', -1), '--rounds must be at least 1'),
    (('--device', 'cuda'), 'there is no GPU that PyTorch can use; choose --device cpu'),
])
def test_bad_arguments_get_one_line(refused, monkeypatch, args: tuple, words: str) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert refused(bench, *args) == f'error: {words}'


def test_machines_without_the_type(monkeypatch) -> None:
    monkeypatch.setattr(bench, 'has_cpu_bfloat16', lambda: False)
    assert bench.choose_dtype('auto', 'cpu') == 'float32'
    with pytest.raises(bench.InputError, match='has no bfloat16'):
        bench.choose_dtype('bfloat16', 'cpu')
    monkeypatch.setattr(bench, 'has_cpu_bfloat16', lambda: True)
    assert bench.choose_dtype('auto', 'cpu') == 'bfloat16'


@pytest.fixture
def for_real(monkeypatch) -> None:
    monkeypatch.setattr(bench, 'SPAWN', SERVER)
    monkeypatch.setattr(bench, 'MATMUL_SIDE', dict(cpu=256))


@pytest.mark.slow
def test_two_processes_for_real(for_real) -> None:
    result = bench.measure(
        SETTINGS._replace(distributed=True), batch=2, rounds=1,
        variants=['ours'], processes=2)
    assert result['matmul_tflops'] > 0
    row = result['variants']['ours']
    assert row['images_per_second'] > 0 and 0 < row['matmul_share'] < 1


@pytest.mark.slow
def test_failure_is_told_in_its_row(for_real) -> None:
    worker = bench.Worker('ours', SETTINGS._replace(img_size=65), 2, 1)
    worker.round()
    worker.end()
    assert 'img_size' in worker.failure and '\n' not in worker.failure
    assert worker.seconds == [] and worker.peak_mib is None
