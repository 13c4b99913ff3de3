"""UperNet on a ConMIM backbone: every config builds, trains a step and tests in every way."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmengine.visualization import Visualizer
from mmseg.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS, VISUALIZERS
from mmseg.structures import SegDataSample
from PIL import Image
from scenes import ADE_CLASS_NAMES

from conmim_mm.models.layers.rel_pos_bias import resize_table

from ..conftest import CONFIGS
from ..toy import save_scenes_model
from .conftest import two_steps

FOLDER = CONFIGS / 'segmentation'
STEMS = sorted(path.stem for path in FOLDER.glob('*.py'))
SCENES = 'vit-tiny_upernet_1xb8_scenes-128px'
CAMVID = 'vit-tiny_upernet_1xb8_camvid-160px'


@pytest.fixture(autouse=True)
def _mmseg_scope():
    """What a Runner does with default_scope, undone afterwards."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def scenes(scenes) -> Path:
    """In ADE20K's layout."""
    return scenes / 'ade'


def load(stem: str, root: Path = CONFIGS) -> Config:
    return Config.fromfile(root / 'segmentation' / f'{stem}.py')


def shrunk(stem: str, out: Path, crop: int, depth: int | None = None) -> Config:
    """The config with a smaller crop and fewer blocks, set where each is described."""
    shutil.copytree(CONFIGS, out / 'configs', ignore=shutil.ignore_patterns('__pycache__'))
    bases = out / 'configs' / '_base_'
    edits = {'crop_size = (512, 512)': f'crop_size = ({crop}, {crop})',
             'crop_size = (640, 640)': f'crop_size = ({crop}, {crop})'}
    if depth:
        edits |= {f'num_layers={n}': f'num_layers={depth}' for n in (12, 24)}
    for path in [*bases.glob('datasets/*.py'), *bases.glob('backbones/*.py')]:
        text = path.read_text()
        for old, new in edits.items():
            text = text.replace(old, new)
        path.write_text(text)
    cfg = load(stem, out / 'configs')
    cfg.model.backbone.init_cfg = None
    return cfg


def build_on_cpu(cfg: Config) -> torch.nn.Module:
    return revert_sync_batchnorm(MODELS.build(cfg.model))


def batch(sizes: list[tuple[int, int]], num_classes: int, **metainfo) -> dict:
    """Random images (uint8, BGR) and maps, as a data loader gives them."""
    samples = [
        SegDataSample(
            gt_sem_seg=PixelData(data=torch.randint(0, num_classes, (1, *size))),
            metainfo=dict(img_shape=size, ori_shape=size) | metainfo) for size in sizes
    ]
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]
    return dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize('stem', STEMS)
def test_builds_at_full_size(stem: str) -> None:
    cfg = load(stem)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    backbone = model.backbone
    assert backbone.img_size == cfg.crop_size
    assert len(backbone.out_indices) == len(set(backbone.out_indices)) == 4
    assert backbone.out_indices[-1] == backbone.num_layers - 1
    assert [backbone.patch_size / r for r in model.neck.rescales] == list(cfg.strides)
    assert model.decode_head.num_classes == model.auxiliary_head.num_classes
    with torch.device('meta'):
        build_optim_wrapper(model, cfg.optim_wrapper)

    for pipeline in (cfg.train_pipeline, cfg.test_pipeline, cfg.tta_pipeline):
        for transform in pipeline:
            TRANSFORMS.build(transform)
    VISUALIZERS.build(dict(cfg.visualizer, name=f'test_{stem}'))
    Visualizer.get_instance('any')  # which the hook that draws takes
    for hook in cfg.default_hooks.values():
        HOOKS.build(hook)
    METRICS.build(cfg.val_evaluator)
    MODELS.build(dict(cfg.tta_model, module=model))


@pytest.mark.parametrize(
    ('stem', 'recipe'),
    [('vit-s_upernet_8xb2-160k_ade20k-512x512', (384, 512, 341, 7e-4, .65, .1, [3, 5, 7, 11])),
     ('vit-b_upernet_8xb2-160k_ade20k-512x512', (768, 512, 341, 7e-4, .65, .1, [3, 5, 7, 11])),
     ('vit-l_upernet_8xb2-160k_ade20k-512x512', (1024, 512, 341, 4e-5, .9, .2, [7, 11, 15, 23])),
     ('vit-l_upernet_8xb2-160k_ade20k-640x640', (1024, 640, 426, 4e-5, .9, .2, [7, 11, 15, 23]))])
def test_ade20k_recipes(stem: str, recipe: tuple) -> None:
    cfg = load(stem)
    width, size, stride, lr, decay, drop_path, blocks = recipe
    model, optim = cfg.model, cfg.optim_wrapper
    assert cfg.crop_size == (size, size) and cfg.scale == (4 * size, size)
    assert model.backbone.drop_path_rate == drop_path
    assert model.backbone.out_indices == blocks
    assert model.neck.embed_dim == model.decode_head.channels == width
    assert model.decode_head.in_channels == [width] * 4
    assert model.test_cfg == dict(mode='slide', crop_size=(size, size), stride=[stride, stride])
    assert (optim.optimizer.lr, optim.paramwise_cfg.layer_decay_rate) == (lr, decay)
    assert optim.optimizer.weight_decay == 0.05 and optim.optimizer.betas == (0.9, 0.999)
    assert cfg.param_scheduler[0].end == cfg.param_scheduler[1].begin == 1500
    assert cfg.param_scheduler[1].end == cfg.train_cfg.max_iters == 160000
    assert 8 * cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 16
    for pipeline in (cfg.train_dataloader.dataset.pipeline, cfg.val_dataloader.dataset.pipeline,
                     cfg.test_dataloader.dataset.pipeline):
        resize = next(step for step in pipeline if 'Resize' in step.type)
        assert resize.scale == (4 * size, size)
    assert [step.scale for step in cfg.tta_pipeline[1].transforms[0]] == [
        (2 * size, size // 2), (3 * size, 3 * size // 4), (4 * size, size),
        (5 * size, 5 * size // 4), (6 * size, 3 * size // 2), (7 * size, 7 * size // 4)]


@pytest.mark.parametrize(
    ('stem', 'crop', 'depth', 'blocks'),
    [('vit-s_upernet_8xb2-160k_ade20k-512x512', 64, None, [3, 5, 7, 11]),
     pytest.param('vit-b_upernet_8xb2-160k_ade20k-512x512', 32, 4, [0, 1, 2, 3],
                  marks=pytest.mark.slow)])
def test_one_training_and_one_test_step(tmp_path, stem, crop, depth, blocks) -> None:
    cfg = shrunk(stem, tmp_path, crop, depth)
    model = build_on_cpu(cfg)
    assert model.backbone.out_indices == blocks

    optim = build_optim_wrapper(model, cfg.optim_wrapper)
    before = model.backbone.patch_embed.proj.weight.detach().clone()
    # one image is smaller than the crop, and padded to it
    data = model.data_preprocessor(batch([(crop, crop), (crop, crop - 9)], 150), training=True)
    assert data['inputs'].shape == (2, 3, crop, crop)
    with optim.optim_context(model):
        loss, logged = model.parse_losses(model(**data, mode='loss'))
    assert torch.isfinite(loss) and {'decode.loss_ce', 'aux.loss_ce'} <= set(logged)
    optim.backward(loss)
    tables = [block.attn.rel_pos_bias.relative_position_bias_table
              for block in model.backbone.blocks]
    for param in (model.backbone.patch_embed.proj.weight, *tables):
        assert torch.isfinite(param.grad).all() and param.grad.any()
    optim.step()
    assert not torch.equal(model.backbone.patch_embed.proj.weight, before)

    model.eval()
    height, width = crop + 5, 2 * crop - 3
    for mode in ('slide', 'whole'):
        model.test_cfg.mode = mode
        sample, = model.test_step(batch([(height, width)], 150, ori_shape=(90, 160)))
        assert sample.pred_sem_seg.shape == (90, 160)
        assert sample.seg_logits.shape == (90, 160)
        assert sample.pred_sem_seg.data.max() < 150


@pytest.mark.parametrize('mode', ['slide', 'whole'])
def test_padding_does_not_shift_predictions(tmp_path, mode: str) -> None:
    """An image of any size is predicted as its padded copy is, pixel by pixel."""
    cfg = load(SCENES)
    cfg.model.backbone.init_cfg = None
    model = build_on_cpu(cfg).eval()
    model.test_cfg.mode = mode
    data = batch([(75, 121)], 11)
    sample, = model.test_step(data)
    mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
    # by hand: BGR to RGB, normalised, then padded to a multiple of the coarsest stride, 32
    image = (data['inputs'][0].flip(0).float() - mean) / std
    image = torch.nn.functional.pad(image, (0, 128 - 121, 0, 96 - 75))[None]
    with torch.no_grad():
        expected = model.inference(image, [dict(ori_shape=(96, 128), img_shape=(96, 128),
                                                pad_shape=(96, 128))])[0, :, :75, :121]
    torch.testing.assert_close(sample.seg_logits.data, expected)


def test_scenes_labels_are_the_generator_s(scenes: Path) -> None:
    cfg = load(SCENES)
    dataset = DATASETS.build(
        dict(cfg.val_dataloader.dataset, data_root=str(scenes), test_mode=True))
    assert dataset.metainfo['classes'] == ADE_CLASS_NAMES
    assert cfg.model.decode_head.num_classes == len(ADE_CLASS_NAMES) == 11
    assert len(dataset) == 2
    for i in range(len(dataset)):
        item = dataset[i]
        stored = np.array(Image.open(item['data_samples'].seg_map_path))
        assert torch.equal(item['data_samples'].gt_sem_seg.data[0] + 1,
                           torch.from_numpy(stored).long())


def test_camvid_pipelines(tmp_path) -> None:
    for kind, suffix in (('images', 'jpg'), ('annotations', 'png')):
        for split in ('train', 'val'):
            (tmp_path / kind / split).mkdir(parents=True)
            picture = np.random.default_rng(0).integers(0, 11, (360, 480), dtype=np.uint8)
            picture[:10] = 255
            Image.fromarray(picture).save(tmp_path / kind / split / f'a.{suffix}')
    cfg = load(CAMVID)
    train, val = (
        DATASETS.build(dict(loader.dataset, data_root=str(tmp_path)))
        for loader in (cfg.train_dataloader, cfg.val_dataloader))
    assert len(train.metainfo['classes']) == cfg.model.decode_head.num_classes == 11
    item = train[0]
    assert max(item['inputs'].shape[1:]) <= 160
    assert item['data_samples'].gt_sem_seg.shape == item['inputs'].shape[1:]
    item = val[0]
    assert item['inputs'].shape == (3, 180, 240)
    assert item['data_samples'].gt_sem_seg.data.unique().tolist() == [*range(11), 255]


def test_multi_scale_and_flip(scenes: Path) -> None:
    cfg = load(SCENES)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(dict(cfg.tta_model, module=cfg.model)).eval()
    dataset = DATASETS.build(
        dict(cfg.test_dataloader.dataset, data_root=str(scenes), pipeline=cfg.tta_pipeline))
    data = pseudo_collate([dataset[0]])
    shapes = [tuple(image[0].shape[1:]) for image in data['inputs']]
    assert shapes == [(128, 128)] * 2 + [(192, 192)] * 2
    sample, = model.test_step(data)
    assert sample.pred_sem_seg.shape == (64, 64)

    # the same by hand: logits of the four views, flipped back, averaged as probabilities
    probabilities = torch.zeros(11, 64, 64)
    for inputs, samples in zip(data['inputs'], data['data_samples'], strict=True):
        view, = model.module.test_step(dict(inputs=inputs, data_samples=samples))
        probabilities += view.seg_logits.data.softmax(dim=0)
    assert torch.equal(sample.pred_sem_seg.data[0], probabilities.argmax(dim=0))


def test_trains_and_validates_from_a_checkpoint(scenes: Path, tmp_path) -> None:
    table = save_scenes_model(tmp_path / 'conmim.pth')[
        'teacher.backbone.rel_pos_bias.relative_position_bias_table']
    cfg = two_steps(load(SCENES), scenes, tmp_path / 'work')
    cfg.model.backbone.init_cfg.checkpoint = str(tmp_path / 'conmim.pth')
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    # pre-trained at 64 pixels, used at 128
    expected = resize_table(table, (8, 8), (16, 16))
    for block in runner.model.backbone.blocks:
        assert torch.equal(block.attn.rel_pos_bias.relative_position_bias_table, expected)

    runner.train()
    assert runner.iter == 2
    assert 0 <= runner.message_hub.get_scalar('val/mIoU').current() <= 100
    assert np.isfinite(runner.message_hub.get_scalar('train/loss').current())
    saved = torch.load(tmp_path / 'work' / 'iter_2.pth', weights_only=False)
    assert tuple(saved['meta']['dataset_meta']['classes']) == ADE_CLASS_NAMES
