"""The reference's numbers, reproduced by a real training run from a config.

Every ``pretrain_*.npz`` in ``CONMIM_GOLDEN_DIR`` (default: ``tests/data/golden``) is run; its
``meta.json`` gives all sizes and settings. See ``tests/data/golden/README.md``.
"""

import json
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, MODELS
from torch.utils.data import Dataset

from conmim_mm.models.losses.patch_infonce_loss import cosine_similarities

from ..conftest import CONFIGS, PARITY_DIR, load_tool

FILES = sorted(PARITY_DIR.glob('pretrain_*.npz'))
PARTS = ('student', 'teacher')


def read_golden(file) -> tuple[dict[str, dict[str, torch.Tensor]], dict]:
    """The arrays by prefix (``step0``, ``init`` ...) and name, and the meta information."""
    arrays = dict(np.load(file))
    meta = json.loads(str(arrays.pop('meta.json')))
    parts = defaultdict(dict)
    for key, value in arrays.items():
        prefix, _, name = key.partition('/')
        parts[prefix][name] = torch.from_numpy(value)
    return parts, meta


@DATASETS.register_module()
class GoldenViews(Dataset):
    """The reference's inputs, one sample after the other."""

    metainfo: dict = {}

    def __init__(self, file: str, steps: int) -> None:
        parts = read_golden(file)[0]
        self.samples = [
            dict(student_view=s, teacher_view=t, mask=m) for step in range(steps)
            for s, t, m in zip(*(parts[f'step{step}'][k]
                                 for k in ('student_view', 'teacher_view', 'mask')), strict=True)
        ]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=self.samples[index])


class Recorder(Hook):
    """Notes down what a run does."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.lr, self.loss, self.grad_norm, self.momentum = [], [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.lr.append(runner.optim_wrapper.optimizer.param_groups[0]['lr'])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.loss.append(outputs['loss'].item())
        for name in ('grad_norm', 'momentum'):
            scalar = runner.message_hub.get_scalar(f'train/{name}')
            getattr(self, name).append(scalar.current())


def build_config(reference: dict, work_dir, checkpoint) -> Config:
    cfg = Config()
    for base in ('models/conmim.py', 'schedules/conmim_adamw.py', 'conmim_runtime.py'):
        cfg.merge_from_dict(Config.fromfile(CONFIGS / '_base_' / base).to_dict())
    cfg.merge_from_dict({
        'model.backbone': dict(
            type='mmpretrain.ConMIMViT',
            arch=dict(
                embed_dims=reference['embed_dims'],
                num_layers=reference['depth'],
                num_heads=reference['num_heads'],
                feedforward_channels=int(reference['embed_dims'] * reference['mlp_ratio'])),
            img_size=reference['img_size'],
            patch_size=reference['patch_size'],
            layer_scale_init_value=reference['layer_scale_init'],
            use_shared_rel_pos_bias=reference['shared_rel_pos_bias'],
            use_abs_pos_emb=reference['abs_pos_embed'],
            use_mask_token=True),
        'model.neck.in_channels': reference['embed_dims'],
        'model.neck.hid_channels': reference['projector_hidden'],
        'model.neck.out_channels': reference['projector_out'],
        'model.head.loss.temperature': reference['temperature'],
        'model.data_preprocessor.mean': None,  # the views are normalised already
        'model.data_preprocessor.std': None,
        'optim_wrapper.optimizer.lr': reference['base_lr'],
        'optim_wrapper.optimizer.betas': tuple(reference['betas']),
        'optim_wrapper.optimizer.eps': reference['eps'],
        'optim_wrapper.optimizer.weight_decay': reference['weight_decay'],
        # without clipping the norm is still measured
        'optim_wrapper.clip_grad.max_norm': reference['clip_grad'] or float('inf'),
        'load_from': str(checkpoint),
        'work_dir': str(work_dir),
    })
    cfg.optim_wrapper.type = 'GuardedOptimWrapper'
    del cfg.optim_wrapper['dtype']
    cfg.param_scheduler = dict(
        type='WarmupCosineLR',
        warmup=reference['warmup_steps'],
        eta_min=reference['min_lr'],
        by_epoch=False)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=reference['steps'])
    cfg.default_hooks.teacher.momentum = reference['teacher_momentum']
    cfg.default_hooks.checkpoint = None
    cfg.default_hooks.sampler_seed = None
    cfg.experiment_name = work_dir.name
    return cfg


@pytest.fixture(scope='module', params=FILES, ids=lambda path: path.stem)
def run(request, tmp_path_factory) -> SimpleNamespace:
    """Trains as the reference did, from its start weights on its inputs."""
    parts, meta = read_golden(request.param)
    work_dir = tmp_path_factory.mktemp(request.param.stem)

    converter = load_tool('model_converters/conmim_to_mm.py')
    torch.save(dict(model=dict(parts['init'])), work_dir / 'original.pth')
    converter.convert(work_dir / 'original.pth', work_dir / 'init.pth')

    cfg = build_config(meta['config'], work_dir, work_dir / 'init.pth')
    cfg.train_dataloader = dict(
        batch_size=meta['config']['batch'],
        num_workers=0,
        dataset=dict(type='GoldenViews', file=str(request.param), steps=meta['config']['steps']),
        sampler=dict(type='InfiniteSampler', shuffle=False),
        collate_fn=dict(type='default_collate'))
    runner = Runner.from_cfg(cfg)
    recorder = Recorder()
    runner.register_hook(recorder)

    features = defaultdict(list)
    for part, neck in zip(PARTS, (runner.model.neck, runner.model.teacher.neck), strict=True):
        neck.register_forward_hook(
            lambda module, args, tokens, part=part: features[part].append(tokens[:, 1:].detach()))
    runner.train()
    return SimpleNamespace(
        meta=meta, parts=parts, model=runner.model, recorder=recorder, features=features,
        converter=converter, work_dir=work_dir)


@pytest.mark.parametrize('variant', [
    dict(img_size=[32, 48], layer_scale_init=None, clip_grad=None),
    dict(layer_scale_init=0, abs_pos_embed=True, shared_rel_pos_bias=True, depth=1),
], ids=['oblong', 'both-embeddings'])
def test_other_settings_build(variant: dict, tmp_path) -> None:
    """What further golden files may hold is understood."""
    reference = dict(
        img_size=64, patch_size=16, embed_dims=16, depth=2, num_heads=2, mlp_ratio=2,
        projector_hidden=8, projector_out=4, shared_rel_pos_bias=True, abs_pos_embed=False,
        layer_scale_init=0.1, steps=4, base_lr=1e-3, min_lr=1e-5, warmup_steps=1, clip_grad=1.,
        weight_decay=0.05, temperature=0.1, teacher_momentum=0.9, betas=[0.9, 0.98], eps=1e-8)
    backbone = MODELS.build(build_config(reference | variant, tmp_path, 'none').model).backbone
    assert (backbone.pos_embed is not None) == variant.get('abs_pos_embed', False)
    assert backbone.blocks[0].gamma_1 is None
    assert backbone.grid == ((2, 3) if 'img_size' in variant else (4, 4))


def test_there_are_golden_files() -> None:
    assert FILES, f'no pretrain_*.npz in {PARITY_DIR}'


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_first_step_features_and_logits(run) -> None:
    golden = run.parts['step0']
    student, teacher = (run.features[part][0] for part in PARTS)
    close(torch.nn.functional.normalize(student, dim=-1), golden['student_features'])
    close(torch.nn.functional.normalize(teacher, dim=-1), golden['teacher_features'])
    logits = cosine_similarities(student, teacher) / run.meta['config']['temperature']
    close(logits[golden['mask']], golden['logits'])


def test_schedules(run) -> None:
    assert run.recorder.lr == pytest.approx(run.meta['lr'], rel=1e-12)
    assert run.recorder.momentum == pytest.approx(run.meta['momentum'], rel=1e-12)


def test_losses_and_gradient_norms(run) -> None:
    assert run.recorder.loss == pytest.approx(run.meta['loss'], rel=1e-4)
    assert run.recorder.grad_norm == pytest.approx(run.meta['grad_norm'], rel=1e-4)


def expected_weights(run) -> dict[str, torch.Tensor]:
    for part in PARTS:
        torch.save(dict(model=dict(run.parts[part])), run.work_dir / f'{part}.pth')
    run.converter.convert(run.work_dir / 'student.pth', run.work_dir / 'final.pth',
                          run.work_dir / 'teacher.pth')
    return torch.load(run.work_dir / 'final.pth', weights_only=True)['state_dict']


def test_final_weights(run) -> None:
    expected = expected_weights(run)
    actual = run.model.state_dict()
    assert set(actual) == set(expected)
    for key, value in expected.items():
        if key.endswith('backbone.norm.bias'):
            continue  # its true gradient is zero; see the README beside the golden files
        worst = (actual[key] - value).abs().max().item()
        assert worst <= 5e-3 * value.abs().max().item(), key


def test_tokens_after_training(run) -> None:
    run.model.load_state_dict(expected_weights(run))
    run.model.eval()
    last_view = run.parts[f'step{run.meta["config"]["steps"] - 1}']['student_view']
    with torch.no_grad():
        tokens = run.model.backbone.forward_tokens(last_view)
    close(tokens, run.parts['eval']['tokens_no_mask'])
