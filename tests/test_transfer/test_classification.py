"""Classification: every config builds at full size, learns a step, and starts from ConMIM."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import DATA_SAMPLERS, HOOKS, METRICS, MODELS, TRANSFORMS
from mmpretrain.structures import DataSample
from torch import nn

from conmim_mm.engine.optimizers.amp_optim_wrapper import has_cpu_bfloat16

from ..conftest import CONFIGS
from ..toy import save_scenes_model
from .conftest import two_steps, use_data

FOLDER = CONFIGS / 'classification'
FILES = sorted(FOLDER.glob('*.py'))
LINEAR = [path.stem for path in FILES if '_linear_' in path.name]
TINY = [path.stem for path in FILES if '_1xb' in path.name]
DEPTH = 2


@pytest.fixture(autouse=True)
def _scope() -> None:
    init_default_scope('mmpretrain')
    np.random.seed(0)  # mixup's


@pytest.fixture(scope='module')
def shallow(tmp_path_factory) -> Path:
    """The configs with every backbone cut to two blocks, where it is described."""
    configs = tmp_path_factory.mktemp('shallow') / 'configs'
    shutil.copytree(CONFIGS, configs)
    for path in (configs / '_base_' / 'backbones').glob('*.py'):
        path.write_text(re.sub(r'num_layers=\d+', f'num_layers={DEPTH}', path.read_text()))
    return configs


def load(stem: str, configs: Path = CONFIGS) -> Config:
    return Config.fromfile(configs / 'classification' / f'{stem}.py')


def build(cfg: Config) -> nn.Module:
    """The model with random weights."""
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def batch(cfg: Config, size: int, images: int = 4) -> dict:
    """Random images, as the data loader collates them."""
    classes = cfg.model.head.num_classes
    samples = [DataSample().set_gt_label(i % classes) for i in range(images)]
    return dict(
        inputs=torch.randint(0, 256, (images, 3, size, size), dtype=torch.uint8),
        data_samples=samples)


def tables(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: param for name, param in model.named_parameters() if 'bias_table' in name}


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_builds_at_full_size(path: Path) -> None:
    cfg = Config.fromfile(path)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert model.head.fc.in_features == model.backbone.embed_dims
    assert model.head.fc.out_features == model.data_preprocessor.num_classes
    assert len(model.backbone.blocks) == cfg.backbone.arch.num_layers
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    optimized = {id(param) for group in wrapper.param_groups for param in group['params']}
    assert {id(param) for param in model.parameters() if param.requires_grad} <= optimized

    sizes = []
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for transform in loader.dataset.pipeline:
            TRANSFORMS.build(transform)
        DATA_SAMPLERS.build(loader.sampler | dict(dataset=range(4)))
        crop = loader.dataset.pipeline[2 if loader is not cfg.train_dataloader else 1]
        sizes.append(crop.get('crop_size') or crop.get('scale'))
    assert sizes == [model.backbone.img_size[0]] * 3
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        METRICS.build(evaluator)
    assert type(HOOKS.build(cfg.default_hooks.start_checks)).__name__ == 'StartChecksHook'


@pytest.mark.parametrize('stem, epochs, batch_size, lr, decay, drop_path, warmup, start', [
    ('vit-s_8xb128-100e_in1k-224px', 100, 1024, 4e-3, 0.65, 0.1, 20, 'vit-s_8xb256/epoch_300'),
    ('vit-b_8xb128-100e_in1k-224px', 100, 1024, 4e-3, 0.65, 0.1, 20, 'vit-b_8xb256/epoch_800'),
    ('vit-l_8xb64-50e_in1k-224px', 50, 1024, 1e-3, 0.75, 0.2, 5, 'vit-l_32xb64/epoch_1600'),
    ('vit-s_8xb64-10e_in1k-384px', 10, 512, 2e-5, 0.85, 0.1, 1,
     'vit-s_8xb128-100e_in1k-224px/epoch_100'),
    ('vit-b_8xb64-10e_in1k-384px', 10, 512, 2e-5, 0.85, 0.1, 1,
     'vit-b_8xb128-100e_in1k-224px/epoch_100'),
    ('vit-l_8xb32-5e_in1k-384px', 5, 512, 2e-5, 0.9, 0.2, 1,
     'vit-l_8xb64-50e_in1k-224px/epoch_50'),
])
def test_fine_tuning_recipes(stem, epochs, batch_size, lr, decay, drop_path, warmup,
                             start) -> None:
    cfg = load(stem)
    backbone, optim = cfg.model.backbone, cfg.optim_wrapper
    assert (cfg.train_cfg.max_epochs, cfg.auto_scale_lr.base_batch_size, optim.optimizer.lr,
            optim.paramwise_cfg.layer_decay_rate, backbone.drop_path_rate,
            cfg.param_scheduler.warmup) == (epochs, batch_size, lr, decay, drop_path, warmup)
    gpus, per_gpu = map(int, re.search(r'(\d+)xb(\d+)', stem).groups())
    assert per_gpu == cfg.train_dataloader.batch_size
    assert gpus * per_gpu * optim.get('accumulative_counts', 1) == batch_size
    assert f'{epochs}e_' in stem and f'-{backbone.img_size}px' in stem
    assert backbone.init_cfg == dict(
        type='Pretrained', checkpoint=f'work_dirs/{start}.pth', weights='teacher')
    assert optim.optimizer.betas == (0.9, 0.999) and cfg.param_scheduler.eta_min == 1e-6
    assert [(a.type, a.alpha) for a in cfg.model.train_cfg.augments] == [('Mixup', 0.8),
                                                                         ('CutMix', 1.0)]
    # the whole image's height at 384, 7/8 of it below
    resize, crop = cfg.test_dataloader.dataset.pipeline[1:3]
    assert (resize.scale, crop.crop_size) == {224: (256, 224), 384: (384, 384)}[backbone.img_size]


@pytest.mark.parametrize('stem', LINEAR)
def test_linear_recipes(stem: str) -> None:
    cfg = load(stem)
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size,
            cfg.param_scheduler.warmup, cfg.param_scheduler.eta_min) == (90, 2048, 10, 0.)
    assert cfg.optim_wrapper.optimizer == dict(
        type='LARS', lr=pytest.approx(6.4), momentum=0.9, weight_decay=0.)
    assert cfg.auto_scale_lr.base_batch_size == 8 * 2048


def test_head_starts_near_zero(shallow: Path) -> None:
    weight = build(load('vit-s_8xb128-100e_in1k-224px', shallow)).head.fc.weight
    assert 0 < weight.abs().max() <= 2e-5


@pytest.mark.parametrize('stem', TINY)
def test_few_labels_of_every_class(stem: str) -> None:
    cfg = load(stem)
    dataset = cfg.train_dataloader.dataset
    assert dataset.images_per_class == cfg.images_per_class and dataset.with_label


@pytest.mark.parametrize('size, is_shallow', [('s', False), ('b', True)])
def test_learns_a_step(size: str, is_shallow: bool, shallow: Path) -> None:
    """Loss and gradients of a mixed batch, then predictions."""
    cfg = load(f'vit-{size}_8xb128-100e_in1k-224px', shallow if is_shallow else CONFIGS)
    model = build(cfg)
    size = model.backbone.img_size[0]
    with torch.autocast('cpu', torch.bfloat16, enabled=has_cpu_bfloat16()):
        data = model.data_preprocessor(batch(cfg, size), training=True)
        loss = model(**data, mode='loss')['loss']
    scores = torch.stack([sample.gt_score for sample in data['data_samples']])
    assert (scores.amax(dim=1) < 1).any()  # labels are mixed
    # a head near zero says that all classes are equally likely
    assert loss.item() == pytest.approx(np.log(cfg.model.head.num_classes), abs=0.05)
    loss.backward()
    assert len(tables(model)) == len(model.backbone.blocks)
    assert not [name for name, param in model.named_parameters()
                if param.grad is None or not param.grad.isfinite().all() or not param.grad.any()]

    model.eval()
    predicted = model.test_step(batch(cfg, size, images=2))
    assert [tuple(sample.pred_score.shape) for sample in predicted] == [(1000, )] * 2
    assert predicted[0].pred_score.sum().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize('stem', LINEAR)
def test_linear_probe_trains_nothing_but_the_head(shallow: Path, stem: str) -> None:
    cfg = load(stem, shallow)
    assert cfg.model.backbone.frozen_stages == cfg.backbone.arch.num_layers == DEPTH
    model = build(cfg)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    assert wrapper.optimizer.__class__.__name__ == 'LARS'
    excluded = [group for group in wrapper.param_groups if group.get('lars_exclude')]
    assert [group['params'] for group in excluded] == [[model.head.fc.bias]]

    model.train()
    data = batch(cfg, 224, images=2)
    assert np.isfinite(model.train_step(data, wrapper)['loss'].item())
    after = model.state_dict()
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed == {'head.fc.weight', 'head.fc.bias', *(
        f'neck.1.bn.{name}' for name in ('running_mean', 'running_var', 'num_batches_tracked'))}

    images = model.data_preprocessor(data)['inputs']
    with torch.no_grad():
        tokens = model.backbone.forward_tokens(images)
        pooled = model.neck[0](model.backbone(images))[-1]
    torch.testing.assert_close(pooled, tokens[:, 1:].mean(dim=1), atol=1e-5, rtol=1e-4)


def test_384_starts_from_the_classifier_of_224(shallow: Path, tmp_path) -> None:
    cfg = load('vit-s_8xb128-100e_in1k-224px', shallow)
    source = build(cfg)
    for param in (*tables(source).values(), *source.backbone.fc_norm.parameters()):
        nn.init.normal_(param)
    file = str(tmp_path / 'classifier.pth')
    torch.save(dict(state_dict=source.state_dict()), file)

    cfg = load('vit-s_8xb64-10e_in1k-384px', shallow)
    assert cfg.model.head.init_cfg.checkpoint == cfg.model.backbone.init_cfg.checkpoint
    cfg.merge_from_dict({f'model.{part}.init_cfg.checkpoint': file for part in
                         ('backbone', 'head')})
    model = MODELS.build(cfg.model)
    model.init_weights()
    state, loaded = source.state_dict(), model.state_dict()
    assert set(state) == set(loaded)
    for name, value in state.items():
        if 'bias_table' in name:
            # 2 * 24 - 1 offsets a side, and three for the class token, which stay as they are
            assert loaded[name].shape == (47**2 + 3, 6)
            assert torch.equal(loaded[name][-3:], value[-3:])
        else:
            assert torch.equal(loaded[name], value), name


@pytest.fixture
def tiny(tmp_path, scenes) -> Config:
    cfg = two_steps(load('vit-tiny_1xb32_scenes-64px'), scenes / 'imagenet', tmp_path / 'run')
    cfg.merge_from_dict({
        'train_dataloader.dataset.images_per_class': 1,
        'train_dataloader.batch_size': 4,
        'param_scheduler.warmup': 0,
        'default_hooks.checkpoint.interval': 2,
    })
    return cfg


def test_tiny_run_starts_from_the_teacher_and_ends_with_an_accuracy(tiny, tmp_path) -> None:
    path = tmp_path / 'pretrained.pth'
    weights = save_scenes_model(path)
    tiny.model.backbone.init_cfg.checkpoint = str(path)
    tiny.optim_wrapper.optimizer.lr = 1e-12
    tiny.param_scheduler.eta_min = 0.
    runner = Runner.from_cfg(tiny)
    assert sorted(runner.train_dataloader.dataset.get_data_info(i)['gt_label'] for i in
                  range(10)) == list(range(10))
    runner.train()
    accuracy = runner.message_hub.get_scalar('val/accuracy/top1').current()
    assert accuracy in {10. * right for right in range(11)}
    # at this rate what was trained is what it started from
    saved = torch.load(tmp_path / 'run' / 'iter_2.pth', weights_only=False)['state_dict']
    name = 'blocks.1.mlp.fc1.weight'
    torch.testing.assert_close(saved[f'backbone.{name}'], weights[f'teacher.backbone.{name}'])
    shared = weights['teacher.backbone.rel_pos_bias.relative_position_bias_table']
    own = [value for key, value in saved.items() if 'bias_table' in key]
    assert len(own) == tiny.backbone.arch.num_layers
    for table in own:
        torch.testing.assert_close(table, shared)


def test_validation_and_test_folders_may_lack_a_class(tiny, tmp_path) -> None:
    """Of ten the first one: without the names of the training all labels would be one too low."""
    root = shutil.copytree(tiny.train_dataloader.dataset.data_root, tmp_path / 'data')
    shutil.rmtree(root / 'val' / 'butterfly')
    use_data(tiny, root)
    tiny.model.backbone.init_cfg = None
    training = Runner.from_cfg(tiny)
    training.train()
    tiny.load_from = str(tmp_path / 'run' / 'iter_2.pth')
    testing = Runner.from_cfg(tiny)
    testing.test()
    classes = sorted(path.name for path in (root / 'train').iterdir())
    for runner, loop in ((training, training.val_loop), (testing, testing.test_loop)):
        dataset = loop.dataloader.dataset
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        assert {info['gt_label'] for info in infos} == set(range(1, 10))
        assert all(classes[info['gt_label']] == Path(info['img_path']).parent.name
                   for info in infos)
        assert list(runner.visualizer.dataset_meta['classes']) == classes
