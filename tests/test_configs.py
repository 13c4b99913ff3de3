"""Every pre-training config builds at full size, and its derived numbers are the recipe's."""

import math
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS, STRATEGIES, DefaultScope
from mmengine.runner import FlexibleRunner
from mmpretrain.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    TRANSFORMS,
)

from conmim_mm.datasets import ShardSequentialSampler
from conmim_mm.engine import ConMIMFSDPStrategy, GuardedOptimWrapper
from conmim_mm.engine.optimizers.auto_scale_lr import scaling_of_a_batch
from conmim_mm.utils.run_config import replace_data_root

from .conftest import CONFIGS
from .shards import write_shard

RECIPES = sorted(CONFIGS.glob('[!_]*/*.py'))
PRETRAINING = sorted((CONFIGS / 'conmim').glob('*.py'))


def name(path: Path) -> str:
    return path.stem


def load(stem: str) -> Config:
    return Config.fromfile(CONFIGS / 'conmim' / f'{stem}.py')


@pytest.mark.parametrize('path', PRETRAINING, ids=name)
def test_builds_at_full_size(path: Path) -> None:
    cfg = Config.fromfile(path)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert sum(param.numel() for param in model.parameters()) > 1e6
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type=cfg.optim_wrapper.constructor,
            optim_wrapper_cfg=dict(type='OptimWrapper', optimizer=cfg.optim_wrapper.optimizer),
            paramwise_cfg=cfg.optim_wrapper.paramwise_cfg))
    constructor(model)
    views, mask, _ = (TRANSFORMS.build(step) for step in cfg.train_dataloader.dataset.pipeline)
    assert views.size == mask.img_size == model.backbone.img_size
    assert mask.grid == model.backbone.grid
    for hook in cfg.default_hooks.values():
        HOOKS.build(hook)
    # bad numbers stop every run
    assert issubclass(OPTIM_WRAPPERS.get(cfg.optim_wrapper.type), GuardedOptimWrapper)
    assert {'start_checks', 'learning_monitor', 'teacher', 'skipped_images', 'bad_numbers'} <= set(
        cfg.default_hooks)


def test_imagenet_recipes() -> None:
    expected = dict(
        [('vit-s_8xb256', (384, 300, 256, 1.5e-3, 3., 0.1)),
         ('vit-b_8xb256', (768, 800, 256, 1.5e-3, 3., 0.1)),
         ('vit-l_32xb64', (1024, 1600, 64, 7.5e-4, 1., 1e-5))])
    for stem, (width, epochs, batch, lr, clip, scale) in expected.items():
        cfg = load(stem)
        backbone = cfg.model.backbone
        assert (backbone.arch.embed_dims, cfg.train_cfg.max_epochs,
                cfg.train_dataloader.batch_size, cfg.optim_wrapper.optimizer.lr,
                cfg.optim_wrapper.clip_grad.max_norm, backbone.layer_scale_init_value) == (
                    width, epochs, batch, lr, clip, scale)
        assert cfg.auto_scale_lr.base_batch_size == 2048
        assert cfg.optim_wrapper.optimizer.betas == (0.9, 0.98)
        assert cfg.optim_wrapper.optimizer.weight_decay == 0.05
        assert cfg.param_scheduler.warmup == 10 and cfg.param_scheduler.eta_min == 1e-5
        # the original's rate; only short recipes raise it
        table = cfg.optim_wrapper.paramwise_cfg.custom_keys.relative_position_bias_table
        assert table == dict(lr_mult=1., decay_mult=1.)
        gpus = int(stem.split('_')[1].split('x')[0])
        assert gpus * batch == 2048


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: f'{path.parent.name}-{path.stem}')
def test_auto_scale_lr_leaves_a_recipe_as_it_is(path: Path) -> None:
    cfg = Config.fromfile(path)
    gpus, images = map(int, re.search(r'_(\d+)xb(\d+)', path.stem).groups())
    batches = cfg.optim_wrapper.get('accumulative_counts', 1)
    assert images == cfg.train_dataloader.batch_size
    assert gpus * images * batches == cfg.auto_scale_lr.base_batch_size
    assert scaling_of_a_batch(cfg.auto_scale_lr, batches)['base_batch_size'] == gpus * images


def test_fsdp_changes_only_the_runner() -> None:
    sharded, plain = load('vit-l_32xb64_fsdp'), load('vit-l_32xb64')
    assert RUNNERS.get(sharded.pop('runner_type')) is FlexibleRunner
    assert STRATEGIES.get(sharded.pop('strategy').type) is ConMIMFSDPStrategy
    assert sharded.to_dict() == plain.to_dict()


def test_shards_change_only_the_reading(tmp_path: Path) -> None:
    sharded, plain = load('vit-b_8xb256_shards'), load('vit-b_8xb256')
    (tmp_path / 'train').mkdir()
    write_shard(tmp_path / 'train' / 'a.tar', {'0.jpg': b''})
    replace_data_root(sharded, str(tmp_path))
    loader = sharded.train_dataloader
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(loader.dataset)
    assert dataset.get_data_info(0)['img_path'] == f'{tmp_path}/train/a.tar/0.jpg'
    sampler = DATA_SAMPLERS.build(loader.sampler | dict(dataset=dataset, seed=0))
    assert isinstance(sampler, ShardSequentialSampler)
    assert (sampler.batch_size, sampler.streams) == (loader.batch_size, loader.num_workers)
    assert loader.dataset.pipeline == plain.train_dataloader.dataset.pipeline
    for cfg in (sharded, plain):
        for key in ('sampler', 'dataset'):
            del cfg.train_dataloader[key]
        cfg.pop('data_root')
    assert sharded.to_dict() == plain.to_dict()


def test_imagenet_views_have_148_of_196_tokens_masked() -> None:
    mask = TRANSFORMS.build(load('vit-b_8xb256').train_dataloader.dataset.pipeline[1])
    assert math.prod(mask.grid) == 196
    assert mask.num_masked_blocks * mask.patches_per_side**2 == 148


def test_ablations_are_config_switches() -> None:
    cfg = load('vit-s_8xb256')
    cfg.train_dataloader.dataset.pipeline[1] = dict(
        type='BlockPatchMask', img_size=cfg.img_size, patch_size=cfg.patch_size, num_masked=75)
    cfg.merge_from_dict({
        'train_dataloader.dataset.pipeline.0.perturbation': None,
        'default_hooks.teacher.momentum': 0.,
        'default_hooks.teacher.end_momentum': 0.,
        'model.backbone.use_shared_rel_pos_bias': False,
        'model.backbone.use_abs_pos_emb': True,
    })
    pipeline = cfg.train_dataloader.dataset.pipeline
    assert TRANSFORMS.build(pipeline[0]).perturbation is None
    assert TRANSFORMS.build(pipeline[1]).num_masked == 75
    hook = HOOKS.build(cfg.default_hooks.teacher)
    assert [hook.momentum_at(step, 10) for step in range(10)] == [0.] * 10
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert model.backbone.rel_pos_bias is None and model.backbone.pos_embed is not None
