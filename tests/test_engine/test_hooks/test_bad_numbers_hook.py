"""What a run does, says and leaves behind when its numbers go bad."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.structures import BaseDataElement
from mmpretrain.registry import LOOPS

from conmim_mm.checkpoint.plain_data import plain_data
from conmim_mm.datasets.sample_rng import SampleIndex
from conmim_mm.engine import NonFiniteError
from conmim_mm.utils.work_dir import newest_complete_checkpoint

from ...faulty import FaultyConMIM  # noqa: F401
from ...ranks import train_on_ranks
from ...toy import model_cfg, run_cfg


def faulty_run(images: Path, work_dir: Path, max_bad_steps: int = 0, **kwargs) -> dict:
    faults = {key: kwargs.pop(key) for key in ('bad_losses', 'bad_values', 'bad_gradients')
              if key in kwargs}
    cfg = run_cfg(images, work_dir, **kwargs)
    cfg['model'] = dict(model_cfg(), type='FaultyConMIM', **faults)
    cfg['optim_wrapper'].update(type='GuardedOptimWrapper', max_bad_steps=max_bad_steps)
    cfg['default_hooks']['bad_numbers'] = dict(type='BadNumbersHook')
    return cfg


class Before(Hook):
    """Keeps what the model and the optimizer are, and which images come, before an iteration."""

    priority = 'VERY_LOW'

    def __init__(self, *iterations: int) -> None:
        self.iterations, self.images = iterations, []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iterations[0]:
            self.state = state_of(runner)
        if runner.iter in self.iterations:
            self.images.append([sample.img_path for sample in data_batch['data_samples']])


def state_of(runner: Runner) -> tuple[dict, dict]:
    return copy.deepcopy((runner.model.state_dict(), runner.optim_wrapper.optimizer.state_dict()))


def assert_same(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=False)


@pytest.mark.parametrize('fault, words', [('bad_losses', 'the loss is not finite'),
                                          ('bad_gradients', 'the gradient is not finite')])
def test_stops_with_everything_as_before_and_saved(images, tmp_path, fault: str,
                                                   words: str) -> None:
    runner = Runner.from_cfg(faulty_run(images, tmp_path, **{fault: [2]}))
    before = Before(1)
    runner.register_hook(before)
    with pytest.raises(NonFiniteError) as error:
        runner.train()
    # weights, teacher, batch norms' statistics, optimizer
    assert_same(state_of(runner), before.state)

    path = tmp_path / 'bad_step_2_rank0.pth'
    message = str(error.value)
    named = ', '.join(before.images[0][:3])
    assert message.startswith(f'{words} at step 2 (learning rate 0.0005), images {named}')
    assert f' and 1 more; the state before it is in {path}; the weights are as before' in message
    assert '\n' not in message

    saved = torch.load(path, weights_only=True)
    assert_same(saved['state_dict'], dict(before.state[0]))
    assert_same(saved['optimizer']['state'], before.state[1]['state'])
    assert (saved['step'], saved['learning_rate'], saved['cause']) == (2, 5e-4, words)
    assert saved['finite_losses'] == [fault == 'bad_gradients']
    assert saved['img_paths'] == before.images
    batch, = saved['batches']
    assert batch['inputs']['student_view'].shape == (4, 3, 32, 32)
    assert batch['inputs']['mask'].sum() == 4 * 8
    assert [sample['img_path'] for sample in batch['data_samples']] == before.images[0]
    # what is for inspection is not resumed from
    assert newest_complete_checkpoint(tmp_path) is None


@LOOPS.register_module()
class LoopWithoutStep3(EpochBasedTrainLoop):
    """Never shows the model its third batch, but counts it."""

    def run_iter(self, idx: int, data_batch: dict) -> None:
        if self.iter != 2:
            return super().run_iter(idx, data_batch)
        self.runner.optim_wrapper._inner_count += 1
        for scheduler in self.runner.param_schedulers:
            scheduler.step()
        self._iter += 1


@pytest.mark.parametrize('fault', ['bad_losses', 'bad_gradients'])
def test_a_skipped_step_leaves_no_trace(images, tmp_path, fault: str) -> None:
    runner = Runner.from_cfg(
        faulty_run(images, tmp_path / 'skips', max_bad_steps=1, **{fault: [3]}))
    runner.train()
    reference = Runner.from_cfg(run_cfg(
        images, tmp_path / 'never', train_cfg=dict(type='LoopWithoutStep3', max_epochs=2)))
    reference.train()
    assert runner.iter == reference.iter == 6
    assert_same(state_of(runner), state_of(reference))
    assert runner.message_hub.get_scalar('train/bad_steps').current() == 1
    assert not list((tmp_path / 'skips').glob('bad_step_*'))
    log = next((tmp_path / 'skips').glob('*/*.log')).read_text()
    assert 'not finite at step 3 (learning rate 0.001), images ' in log
    assert 'skipped, number 1 of at most 1' in log


def test_the_count_goes_on_after_resuming(images, tmp_path) -> None:
    Runner.from_cfg(faulty_run(images, tmp_path, max_bad_steps=1, epochs=2, bad_losses=[2])).train()
    resumed = Runner.from_cfg(faulty_run(images, tmp_path, max_bad_steps=1, epochs=3, resume=True,
                                         bad_losses=[2]))
    resumed.model.bad_losses = [3]
    with pytest.raises(NonFiniteError, match='at step 9 .*1 skipped so far'):
        resumed.train()


def test_accumulation_names_the_bad_batch_and_keeps_both(images, tmp_path) -> None:
    runner = Runner.from_cfg(
        faulty_run(images, tmp_path, epochs=4, accumulate=2, bad_losses=[3]))
    before = Before(2, 3)
    runner.register_hook(before)
    with pytest.raises(NonFiniteError, match='at step 4') as error:
        runner.train()
    bad, good = before.images
    assert ', '.join(bad[:3]) in str(error.value)
    assert not any(path in str(error.value) for path in set(good) - set(bad))
    assert_same(state_of(runner), before.state)  # that of the step's first batch
    saved = torch.load(tmp_path / 'bad_step_4_rank0.pth', weights_only=True)
    assert saved['finite_losses'] == [False, True] and len(saved['batches']) == 2


def test_works_by_iterations_too(images, tmp_path) -> None:
    cfg = faulty_run(images, tmp_path, bad_losses=[3])
    cfg.update(train_cfg=dict(type='IterBasedTrainLoop', max_iters=4),
               param_scheduler=dict(type='WarmupCosineLR', warmup=1, eta_min=1e-5, by_epoch=False))
    with pytest.raises(NonFiniteError, match='at step 3 .*bad_step_3_rank0.pth'):
        Runner.from_cfg(cfg).train()


def test_a_failed_saving_does_not_hide_the_reason(images, tmp_path) -> None:
    (tmp_path / 'bad_step_2_rank0.pth').mkdir(parents=True)  # so nothing can be written there
    with pytest.raises(NonFiniteError, match='the loss is not finite .*could not be saved'):
        Runner.from_cfg(faulty_run(images, tmp_path, bad_losses=[2])).train()


def test_says_so_where_nobody_looks(images, tmp_path) -> None:
    cfg = run_cfg(images, tmp_path)
    cfg['default_hooks']['bad_numbers'] = dict(type='BadNumbersHook')
    Runner.from_cfg(cfg).train()
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert 'OptimWrapper does not look; set optim_wrapper.type to GuardedOptimWrapper' in log


def test_plain_data_can_be_loaded_without_code(tmp_path) -> None:
    inner = BaseDataElement(labels=torch.tensor([3]))
    sample = BaseDataElement(metainfo=dict(shape=(2, 3), path=Path('a')), gt=inner)
    data = dict(sample=sample, index=SampleIndex(5, seed=1, epoch=2), scale=np.float32(0.5),
                array=np.arange(3), words=np.array(['a']), nothing=None, flag=True,
                kinds={torch.nn.Linear}, size=torch.Size([2]))
    torch.save(plain_data(data), tmp_path / 'data.pth')
    loaded = torch.load(tmp_path / 'data.pth', weights_only=True)
    assert loaded.pop('sample') == dict(shape=(2, 3), path='a',
                                        gt=dict(labels=torch.tensor([3])))
    assert loaded.pop('array').tolist() == [0, 1, 2]
    assert loaded == dict(index=5, scale=0.5, words="array(['a'], dtype='<U1')", nothing=None,
                          flag=True, kinds=['torch.nn.modules.linear.Linear'], size=(2,))


TRACE_HOOK = '''
import json
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module(force=True)
class TraceHook(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        model = runner.model.module
        content = dict(images=[sample.img_path for sample in data_batch['data_samples']],
                       weights=[param.double().sum().item() for param in model.parameters()])
        with open(f'{runner.work_dir}/trace_{runner.rank}.jsonl', 'a') as file:
            file.write(json.dumps(content) + '\\n')
'''


@pytest.mark.slow
@pytest.mark.parametrize('fault, max_bad_steps', [
    ('bad_values', 0),  # of which rank 0 sees nothing, not even in the gradient
    ('bad_losses', 1),
], ids=['stop', 'skip'])
def test_two_processes_of_which_one_is_bad(images, tmp_path, fault: str,
                                           max_bad_steps: int) -> None:
    """Both stop or skip, with equal weights, though only rank 1's loss is not finite."""
    (tmp_path / 'trace_hook.py').write_text(TRACE_HOOK)
    cfg = faulty_run(images, tmp_path / 'run', max_bad_steps, epochs=2, batch_size=2,
                     **{fault: [2]})
    cfg['model']['rank'] = 1
    cfg['custom_hooks'] = [dict(type='TraceHook')]
    cfg['custom_imports'] = dict(imports=['conmim_mm.registration', 'tests.faulty', 'trace_hook'])
    config = tmp_path / 'config.py'
    config.write_text('\n'.join(f'{key} = {value!r}' for key, value in cfg.items()))
    result = train_on_ranks(config)
    traces = [[json.loads(line) for line in
               (tmp_path / 'run' / f'trace_{rank}.jsonl').read_text().splitlines()]
              for rank in (0, 1)]
    images_of_rank_1 = ', '.join(traces[1][1]['images'])
    words = f'the loss is not finite at step 2 (learning rate 0.0005), images {images_of_rank_1};'
    assert words in result.stderr + result.stdout
    assert [len(trace) for trace in traces] == ([2, 2] if max_bad_steps == 0 else [6, 6])
    for step in zip(*traces, strict=True):
        assert step[0]['weights'] == step[1]['weights']
    saved = sorted(path.name for path in (tmp_path / 'run').glob('bad_step_*'))
    if max_bad_steps:
        assert result.returncode == 0 and saved == []
        # nothing moved at the bad step; all did at the next
        assert traces[0][1]['weights'] == traces[0][2]['weights'] != traces[0][3]['weights']
        return
    assert result.returncode != 0 and saved == ['bad_step_2_rank1.pth']
    content = torch.load(tmp_path / 'run' / saved[0], weights_only=True)
    weights = content['state_dict']
    assert weights['backbone.cls_token'].double().sum().item() in traces[0][1]['weights']
    assert all(value.isfinite().all() for value in weights.values())
