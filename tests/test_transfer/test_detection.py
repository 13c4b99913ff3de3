"""Detection: every config builds at full size, learns a step, tests a step, and runs on scenes."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pycocotools.mask
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from scenes import CLASS_NAMES

from conmim_mm.errors import InputError

from ..conftest import CONFIGS
from .conftest import two_steps, use_data

pytest.importorskip('mmcv._ext', reason='mmdet needs the compiled ops of mmcv')

from mmdet.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS  # noqa: E402
from mmdet.testing import demo_mm_inputs  # noqa: E402

FILES = sorted((CONFIGS / 'detection').glob('*.py'))
COCO = [path.stem for path in FILES if 'coco' in path.stem]
SCENES = 'vit-tiny_mask-rcnn_1xb8_scenes-128px'
PEDESTRIANS = 'vit-tiny_mask-rcnn_1xb4_pennfudan-160px'


@pytest.fixture(autouse=True)
def _mmdet_scope():
    init_default_scope('mmdet')
    yield
    init_default_scope('mmpretrain')


@pytest.fixture
def scenes(scenes) -> Path:
    """In COCO's layout."""
    return scenes / 'coco'


def load(stem: str) -> Config:
    cfg = Config.fromfile(CONFIGS / 'detection' / f'{stem}.py')
    cfg.model.backbone.init_cfg = None
    return cfg


def use_scenes(cfg: Config, root: Path) -> Config:
    use_data(cfg, root)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = str(root / 'annotations' / 'instances_val2017.json')
    return cfg


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_builds_at_full_size(path: Path) -> None:
    cfg = Config.fromfile(path)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert model.backbone.img_size == (cfg.backbone.img_size, ) * 2
    assert len(model.backbone.blocks) == cfg.backbone.arch.num_layers
    assert model.backbone.rel_pos_bias is None
    assert all(block.attn.rel_pos_bias is not None for block in model.backbone.blocks)
    assert cfg.model.backbone.init_cfg.weights == 'teacher'

    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    lr = cfg.optim_wrapper.optimizer.lr
    decay = cfg.optim_wrapper.paramwise_cfg.layer_decay_rate
    rates = {id(param): group['lr'] for group in wrapper.param_groups for param in group['params']}
    assert {rates[id(param)] for part in (model.neck, model.rpn_head, model.roi_head)
            for param in part.parameters()} == {lr}
    # the patch embedding stands below all blocks
    assert math.isclose(rates[id(model.backbone.patch_embed.proj.weight)],
                        lr * decay**(cfg.backbone.arch.num_layers + 1), rel_tol=1e-9)

    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for transform in loader.dataset.pipeline:
            TRANSFORMS.build(transform)
    Visualizer.get_instance('any')  # which the hook that draws takes
    for hook in cfg.default_hooks.values():
        HOOKS.build(hook)


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_strides_are_those_of_the_pyramid(path: Path) -> None:
    cfg = Config.fromfile(path)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
        side = 16 * max(stride for stride, _ in model.rpn_head.prior_generator.strides)
        grid = (side // model.backbone.patch_size, ) * 2
        levels = model.neck((torch.zeros(1, model.backbone.embed_dims, *grid), ))
    strides = [(side // level.shape[-2], side // level.shape[-1]) for level in levels]
    assert strides == model.rpn_head.prior_generator.strides
    roi_head = model.roi_head
    for extractor in (roi_head.bbox_roi_extractor, roi_head.mask_roi_extractor):
        regions = [stride for stride, _ in strides][:4]
        assert extractor.featmap_strides == regions
        # the finest level takes regions of up to 28 of its pixels, as in FPN (112 at stride 4)
        assert extractor.finest_scale == 14 * regions[0]


@pytest.mark.parametrize('stem, lr, layer_decay, drop_path, epochs', [
    ('vit-s_mask-rcnn_8xb8-25e_coco-1024px', 8e-5, 1., 0.1, 25),
    ('vit-b_mask-rcnn_8xb8-25e_coco-1024px', 8e-5, 1., 0.1, 25),
    ('vit-l_mask-rcnn_8xb8-25e_coco-1024px', 8e-5, 1., 0.2, 25),
    ('vit-s_mask-rcnn_8xb8-100e_coco-1024px', 1e-4, 0.7, 0.1, 100),
    ('vit-b_mask-rcnn_8xb8-100e_coco-1024px', 1e-4, 0.7, 0.1, 100),
    ('vit-l_mask-rcnn_8xb8-100e_coco-1024px', 1e-4, 0.8, 0.4, 100),
])
def test_recipes(stem: str, lr: float, layer_decay: float, drop_path: float, epochs: int) -> None:
    cfg = load(stem)
    assert cfg.optim_wrapper.optimizer.lr == lr
    assert cfg.optim_wrapper.optimizer.weight_decay == 0.1
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay_rate == layer_decay
    assert cfg.model.backbone.drop_path_rate == drop_path
    assert cfg.train_cfg.max_epochs == epochs
    assert 8 * cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 64
    depth = cfg.backbone.arch.num_layers
    expected = {12: {2, 5, 8, 11}, 24: {5, 11, 17, 23}}[depth]
    assert set(range(depth)) - set(cfg.model.backbone.window_blocks) == expected
    if epochs == 100:
        warmup, steps = cfg.param_scheduler
        assert warmup.end == 250 and steps.milestones == [89, 96]
    else:
        assert cfg.param_scheduler.warmup == 0.25 and cfg.param_scheduler.eta_min == 0


@pytest.mark.parametrize('stem, depth', [
    ('vit-s_mask-rcnn_8xb8-25e_coco-1024px', 12),
    ('vit-b_mask-rcnn_8xb8-25e_coco-1024px', 2),
    ('vit-l_mask-rcnn_8xb8-100e_coco-1024px', 2),
])
def test_a_step_of_training_and_one_of_testing(stem: str, depth: int) -> None:
    cfg = load(stem)
    cfg.merge_from_dict({
        # little to compute: few regions of a small image
        'model.data_preprocessor.pad_size_divisor': 32,
        'model.train_cfg.rpn_proposal.max_per_img': 20,
        'model.train_cfg.rcnn.sampler.num': 8,
        'model.test_cfg.rpn.max_per_img': 20,
        'model.test_cfg.rcnn.score_thr': 0.,
        'model.test_cfg.rcnn.max_per_img': 10,
        'model.backbone.arch.num_layers': depth,
        'model.backbone.window_blocks': list(range(0, depth, 2)),
        'model.backbone.window_size': 4,
        'model.backbone.with_cp': 'vit-l' in stem,
        # a dropped block has no gradients
        'model.backbone.drop_path_rate': 0.,
    })
    model = MODELS.build(cfg.model)
    model.init_weights()
    inputs = demo_mm_inputs(2, [(3, 64, 96), (3, 60, 80)], num_classes=80, with_mask=True)

    model.train()
    losses = model(**model.data_preprocessor(inputs, training=True), mode='loss')
    assert set(losses) == {
        'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'acc', 'loss_bbox', 'loss_mask'}
    total, values = model.parse_losses(losses)
    assert all(value.isfinite() for value in values.values())
    total.backward()
    silent = [
        name for name, param in model.named_parameters()
        if param.grad is None or not param.grad.isfinite().all() or not param.grad.any()
    ]
    assert silent == []

    model.eval()
    with torch.no_grad():
        results = model.test_step(inputs)
    for result, (height, width) in zip(results, [(64, 96), (60, 80)], strict=True):
        found = result.pred_instances
        assert len(found) == 10 and found.masks.shape == (10, height, width)
        assert found.bboxes[:, 2].max() <= width and found.bboxes[:, 3].max() <= height


def test_large_scale_jitter_makes_squares_of_1024(scenes: Path) -> None:
    cfg = use_scenes(load(COCO[0]), scenes)
    cfg.train_dataloader.dataset.metainfo = dict(classes=CLASS_NAMES)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    np.random.seed(0)  # the jitter's; four images of the largest size would show nothing
    samples = [dataset[i] for i in range(4)]
    sizes = [sample['inputs'].shape[-2:] for sample in samples]
    assert len(set(sizes)) > 1 and max(max(size) for size in sizes) <= 1024
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    data = preprocessor(pseudo_collate(samples), training=True)
    assert data['inputs'].shape == (4, 3, 1024, 1024)
    for size, image, sample in zip(sizes, data['inputs'], data['data_samples'], strict=True):
        # padding is the mean colour
        assert not image[:, size[0]:].any() and not image[:, :, size[1]:].any()
        assert sample.gt_instances.masks.masks.shape[1:] == (1024, 1024)

    cfg.test_dataloader.dataset.metainfo = dict(classes=CLASS_NAMES)
    sample = DATASETS.build(cfg.test_dataloader.dataset)[0]
    assert sample['inputs'].shape == (3, 1024, 1024)


def test_masks_of_the_scenes_load_to_the_pixel(scenes: Path) -> None:
    cfg = use_scenes(load(SCENES), scenes)
    cfg.train_dataloader.dataset.pipeline[2].scale = (64, 64)  # the scenes' own
    cfg.train_dataloader.dataset.pipeline[3].prob = 0.
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert dataset.metainfo['classes'] == CLASS_NAMES and len(dataset) == 10
    coco = METRICS.build(cfg.val_evaluator | dict(
        ann_file=str(scenes / 'annotations' / 'instances_train2017.json')))._coco_api
    for index in range(len(dataset)):
        sample = dataset[index]['data_samples']
        entries = coco.load_anns(coco.get_ann_ids(img_ids=[sample.img_id]))
        gt = sample.gt_instances
        assert gt.labels.tolist() == [entry['category_id'] - 1 for entry in entries]
        assert sample.ignored_instances.bboxes.shape[0] == 0
        for mask, entry in zip(gt.masks.masks, entries, strict=True):
            # COCO's own decoding of the same run lengths
            code = pycocotools.mask.frPyObjects(entry['segmentation'], *mask.shape)
            assert (mask == pycocotools.mask.decode(code)).all() and mask.sum() == entry['area']


def test_anchors_fit_the_objects() -> None:
    """Sides of the objects (square roots of areas, measured) are within half an octave of one."""
    for stem, smallest, largest in [(SCENES, 18, 54), (PEDESTRIANS, 18, 80)]:
        with torch.device('meta'):
            generator = MODELS.build(load(stem).model).rpn_head.prior_generator
        sides = sorted({
            round(stride * float(scale), 3)
            for (stride, _), scale in zip(
                generator.strides * len(generator.scales),
                generator.scales.repeat_interleave(len(generator.strides)), strict=True)})
        assert sides[0] <= 2**0.5 * smallest and sides[-1] >= largest / 2**0.5
        assert all(b <= 2.01 * a for a, b in zip(sides, sides[1:], strict=False))


def test_trains_and_evaluates_on_scenes(scenes: Path, tmp_path: Path) -> None:
    cfg = two_steps(use_scenes(load(SCENES), scenes), scenes, tmp_path)
    # after two steps no score is high enough, and without detections there is no AP
    cfg.model.test_cfg.rcnn.score_thr = 0.
    runner = Runner.from_cfg(cfg)
    runner.train()
    for kind in ('bbox', 'segm'):
        average_precision = runner.message_hub.get_scalar(f'val/coco/{kind}_mAP').current()
        assert 0. <= average_precision <= 1.
    assert (tmp_path / 'iter_2.pth').is_file()


def test_boxes_without_masks_of_another_tool(scenes: Path, tmp_path: Path) -> None:
    """As configs/detection/README.md says; without its settings an annotation is named."""
    root = shutil.copytree(scenes, tmp_path / 'coco')
    for path in (root / 'annotations').iterdir():
        content = json.loads(path.read_text())
        for entry in content['annotations']:
            for key in ('segmentation', 'area', 'iscrowd'):
                del entry[key]
        content['categories'].reverse()
        path.write_text(json.dumps(content))
    cfg = two_steps(use_scenes(load(SCENES), root), root, tmp_path / 'run')
    with pytest.raises(InputError, match=r'annotation \d+ \(and \d+ others\) has no mask'):
        Runner.from_cfg(cfg).train()
    cfg.merge_from_dict({
        'model.roi_head.mask_head': None, 'model.roi_head.mask_roi_extractor': None,
        'train_dataloader.dataset.pipeline.1.with_mask': False,
        'val_dataloader.dataset.pipeline.2.with_mask': False, 'val_evaluator.metric': 'bbox',
        'model.test_cfg.rcnn.score_thr': 0.})
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert 0. <= runner.message_hub.get_scalar('val/coco/bbox_mAP').current() <= 1.
