"""A run that learns nothing, or nothing of use, says so once; in real runs of a toy model."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from conmim_mm.engine.hooks.learning_monitor_hook import LearningMonitorHook, grace_period_end
from conmim_mm.errors import InputError
from conmim_mm.evaluation import effective_rank, mean_similarity
from conmim_mm.models import ConMIMHead

from ...toy import NUM_PATCHES, model_cfg, run_cfg, tokens_and_pixels_cfg

CHANCE = 1 / NUM_PATCHES


@MODELS.register_module()
class ScriptedHead(ConMIMHead):
    """Reports given hit rates, one after the other."""

    def __init__(self, hit_rates: list[float], **kwargs) -> None:
        super().__init__(**kwargs)
        self.hit_rates = iter(hit_rates)

    def loss(self, *args) -> dict:
        return super().loss(*args) | dict(hit_rate=torch.tensor(next(self.hit_rates)))


def run(images: Path, work_dir: Path, hit_rates: list[float] | None = None, interval: int = 2,
        hook: Hook | None = None, **overrides) -> tuple[Runner, list[str]]:
    """A run of 12 iterations, 3 of them warm-up; also the warnings in its log."""
    cfg = run_cfg(images, work_dir, epochs=4, **overrides)
    if hit_rates:
        cfg['model'] = model_cfg()
        cfg['model']['head'].update(type='ScriptedHead', hit_rates=hit_rates)
    del cfg['default_hooks']['teacher']
    cfg['default_hooks']['learning_monitor'] = dict(type='LearningMonitorHook', interval=interval)
    runner = Runner.from_cfg(cfg)
    if hook:
        runner.register_hook(hook)
    runner.train()
    log = next(work_dir.glob('*/*.log')).read_text()
    return runner, [line for line in log.splitlines() if 'docs/learning.md' in line]


def test_a_shortcut_is_reported_once(images, tmp_path) -> None:
    _, warnings = run(images, tmp_path / 'none', [0.88, 0.91] * 6)
    assert warnings == []
    _, (warning,) = run(images, tmp_path / 'one', [0.2] * 4 + [0.95] * 8)
    assert '95% of the hidden patches are found' in warning and 'use_abs_pos_emb' in warning


def test_chance_after_the_warm_up_is_reported_once(images, tmp_path) -> None:
    _, warnings = run(images, tmp_path / 'above', [1.6 * CHANCE] * 12)
    assert warnings == []
    # 3 iterations of warm-up and as many of grace
    _, warnings = run(images, tmp_path / 'later', [CHANCE] * 6 + [1.6 * CHANCE] * 6)
    assert warnings == []
    _, (warning,) = run(images, tmp_path / 'never', [1.4 * CHANCE] * 12)
    assert '8.75% of the hidden patches are found, where guessing finds 6.25%' in warning
    assert 'rel_pos_init_slope' in warning


class Spoil(Hook):
    """Sets the first layer of the teacher's projector to a number, for good."""

    def __init__(self, value: float) -> None:
        self.value = value

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        torch.nn.init.constant_(runner.model.teacher.neck.layers[0].weight, self.value)


@pytest.mark.parametrize('value, similarity', [(0., '1.000'), (float('nan'), 'nan')])
def test_a_collapse_is_reported_once(images, tmp_path, value: float, similarity: str) -> None:
    _, (warning,) = run(images, tmp_path, [0.5] * 12, hook=Spoil(value))
    assert f'all alike (mean cosine similarity {similarity})' in warning
    assert 'default_hooks.teacher.momentum' in warning


class SameTokens(Hook):
    """Lets all tokens of the teacher's be alike, whatever the image."""

    def before_train(self, runner):
        runner.model.teacher.backbone.blocks[-1].register_forward_hook(
            lambda module, args, tokens: tokens[:, :1].expand_as(tokens))


def test_pixels_beside_the_tokens_hide_no_collapse(images, tmp_path) -> None:
    _, warnings = run(images, tmp_path, hook=SameTokens(), model=tokens_and_pixels_cfg())
    assert 'all alike (mean cosine similarity 1.000)' in warnings[0]


class TeacherTokens(Hook):
    """Notes the teacher's patch tokens, and whether anything else listens to it."""

    def __init__(self) -> None:
        self.tokens, self.listeners = [], []

    def before_train(self, runner):
        runner.model.teacher.neck.register_forward_hook(
            lambda module, args, tokens: self.tokens.append(tokens[:, 1:].clone()))
        runner.model.teacher.register_forward_hook(
            lambda module, args, tokens: self.listeners.append(len(module._forward_hooks) - 1))


def test_logs_rank_and_similarity_when_it_looks(images, tmp_path) -> None:
    trace = TeacherTokens()
    runner, _ = run(images, tmp_path, interval=5, hook=trace)
    looked_at = [trace.tokens[i] for i in (4, 9)]
    assert trace.listeners == [0, 0, 0, 0, 1] * 2 + [0, 0]
    scalars = runner.message_hub.log_scalars
    for name, measure in dict(feature_rank=effective_rank,
                              teacher_similarity=mean_similarity).items():
        logged = scalars[f'train/{name}'].data[0].tolist()
        assert logged == pytest.approx([measure(tokens) for tokens in looked_at])


@pytest.mark.parametrize('accumulate', [1, 2])
def test_the_grace_is_as_long_as_the_warm_up(images, tmp_path, accumulate: int) -> None:
    cfg = run_cfg(images, tmp_path, epochs=4, accumulate=accumulate)
    cfg['param_scheduler'].update(warmup=4, by_epoch=False, convert_to_iter_based=False)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert grace_period_end(runner) == 8


def test_the_grace_is_at_least_a_twentieth_of_the_run() -> None:
    assert grace_period_end(SimpleNamespace(param_schedulers=[], max_iters=2000)) == 100


def test_refuses_a_model_without_a_teacher() -> None:
    with pytest.raises(InputError, match='model with a teacher'):
        LearningMonitorHook().before_train(SimpleNamespace(model=torch.nn.Linear(1, 1)))


@pytest.mark.parametrize('name', ['shortcut_hit_rate', 'collapse_similarity'])
def test_refuses_a_share_above_1(name: str) -> None:
    with pytest.raises(InputError, match=f'{name} must lie in'):
        LearningMonitorHook(**{name: 1.5})
