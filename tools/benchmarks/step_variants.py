"""The training steps that bench_step.py compares, each as this process would run it."""

import copy
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import mmpretrain
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.structures import DataSample
from plain_conmim import PlainHead, PlainViT, move_one_by_one
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from conmim_mm.distributed.sharded import unwrap_model
from conmim_mm.engine.hooks.compile_hook import CompileHook
from conmim_mm.utils.run_config import read_config
from conmim_mm.utils.shipped_files import recipe_file

MMPRETRAIN = Path(mmpretrain.__file__).parent / '.mim' / 'configs'
MASKED_SHARE = 0.75
MOMENTUM = 0.996
_KINDS = dict(convolution='patches', convolution_backward='patches', bmm='attention',
              baddbmm='attention')


class Variant(NamedTuple):
    """A step.

    Attributes:
        step: Trains on a batch; returns what is logged.
        batch: Makes a batch of so many images, as a loader gives it.
    """

    step: Callable[[dict], dict]
    batch: Callable[[int], dict]


class Settings(NamedTuple):
    """What the variants have in common.

    Attributes:
        arch: Size of the ViT, such as ``'s'``.
        img_size: Side of the images, in pixels.
        dtype: ``'float32'``, ``'bfloat16'`` or ``'float16'``.
        device: PyTorch's device of this process.
        distributed: Whether gradients are averaged with other processes.
    """

    arch: str
    img_size: int
    dtype: str
    device: str
    distributed: bool = False


def recipe(settings: Settings, student: str = 'paper') -> Config:
    """The pre-training config of an arch and a form of the student, for this size of images."""
    cfg = read_config(str(recipe_file(settings.arch, student)))
    cfg.model.backbone.img_size = settings.img_size
    return cfg


def step_flops(cfg: Config) -> dict[str, int]:
    """Operations of a step per image that are matrix products: two for a product and a sum.

    Student forth and back, teacher forth, of two images. What a fused kernel computes again is not
    counted. Blocks are alike, so one and two of them are computed, and the rest follows.

    Args:
        cfg: Of a pre-training.

    Returns:
        Of patch embedding, linear layers, and attention with the logits.
    """
    one, two = (_flops_of_depth(cfg, depth) for depth in (1, 2))
    more = cfg.model.backbone.arch.num_layers - 1
    return {part: one[part] + more * (two[part] - one[part]) for part in one}


def _flops_of_depth(cfg: Config, depth: int) -> dict[str, int]:
    init_default_scope('mmpretrain')
    cfg = copy.deepcopy(cfg)
    cfg.model.backbone.arch.num_layers = depth
    model = MODELS.build(cfg.model)
    view = torch.zeros(2, 3, *model.backbone.img_size)
    mask = hidden_patches(2, math.prod(model.backbone.grid))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.loss(dict(student_view=view, teacher_view=view, mask=mask))['loss'].backward()
    flops = dict.fromkeys(('patches', 'linear', 'attention'), 0)
    for operator, count in counter.get_flop_counts()['Global'].items():
        flops[_KINDS.get(str(operator).split('.')[-1], 'linear')] += count // 2
    return flops


def two_views(settings: Settings, batch: int) -> dict:
    """Two views as bytes and a mask."""
    inputs = dict(student_view=images(batch, settings), teacher_view=images(batch, settings),
                  mask=hidden_patches(batch, (settings.img_size // 16)**2))
    return dict(inputs=pinned(inputs), data_samples=None)


def hidden_patches(batch: int, patches: int) -> torch.Tensor:
    """Masks ``(batch, patches)``, as many patches in each."""
    return torch.rand(batch, patches).argsort(dim=1) < MASKED_SHARE * patches


def images(batch: int, settings: Settings, scale: int = 1) -> torch.Tensor:
    side = settings.img_size // scale
    return torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8)


def pinned(data: dict) -> dict:
    if not torch.cuda.is_available():
        return data
    return {key: value.pin_memory() for key, value in data.items()}


def ours(settings: Settings, *hooks: Hook, student: str = 'paper') -> Variant:
    """Exactly what the config gives, and the teacher's update after it.

    Args:
        settings: Of this process.
        hooks: What the run has besides, before it starts.
        student: Form of the student.
    """
    cfg = recipe(settings, student)
    if settings.dtype == 'float32':
        cfg.optim_wrapper.type = 'GuardedOptimWrapper'
        del cfg.optim_wrapper['dtype']
    else:
        cfg.optim_wrapper.dtype = settings.dtype
    model, step = trained(cfg.model, cfg.optim_wrapper, settings)
    for hook in hooks:
        hook.before_train(SimpleNamespace(model=model))
    student = unwrap_model(model)

    def step_and_follow(data: dict) -> dict:
        losses = step(data)
        student.teacher.update(student, MOMENTUM)
        return losses

    return Variant(step_and_follow, partial(two_views, settings))


def trained(model_cfg: dict, optim_cfg: dict,
            settings: Settings) -> tuple[nn.Module, Callable[[dict], dict]]:
    """A model on its device, and its training step."""
    init_default_scope('mmpretrain')
    model = MODELS.build(model_cfg)
    model.init_weights()
    model = model.to(settings.device).train()
    if settings.distributed:
        ids = None if settings.device == 'cpu' else [torch.cuda.current_device()]
        model = MMDistributedDataParallel(model, device_ids=ids)
    wrapper = build_optim_wrapper(model, copy.deepcopy(optim_cfg))
    return model, lambda data: model.train_step(data, wrapper)


def plain(settings: Settings) -> Variant:
    """The same mathematics in plain PyTorch, parameter by parameter."""
    cfg = recipe(settings)
    cfg.model.backbone.type = PlainViT
    cfg.model.head.type = PlainHead
    cfg.optim_wrapper.optimizer.update(fused=False, foreach=False)
    cfg.optim_wrapper.constructor = 'DefaultOptimWrapperConstructor'  # a group per parameter
    model, step = trained(cfg.model, mmengines_wrapper(cfg.optim_wrapper, settings), settings)
    student = unwrap_model(model)

    def step_and_follow(data: dict) -> dict:
        losses = step(data)
        move_one_by_one(student, MOMENTUM)
        return losses

    return Variant(step_and_follow, partial(two_views, settings))


def mmengines_wrapper(optim_cfg: dict, settings: Settings) -> dict:
    """Optimizer settings with MMEngine's wrapper where it can be built.

    It does no mixed precision on a CPU; there it is ours.
    """
    optim_cfg = {key: value for key, value in optim_cfg.items()
                 if key not in ('type', 'dtype', 'loss_scale')}
    if settings.dtype == 'float32':
        return dict(optim_cfg, type='OptimWrapper')
    if settings.device == 'cpu':
        return dict(optim_cfg, type='ConMIMAmpOptimWrapper', dtype=settings.dtype)
    return dict(optim_cfg, type='AmpOptimWrapper', dtype=settings.dtype)


def beit(settings: Settings) -> Variant:
    """mmpretrain's BEiT with its tokenizer, the weights random."""
    cfg = Config.fromfile(MMPRETRAIN / 'beit/beit_beit-base-p16_8xb256-amp-coslr-300e_in1k.py')
    vit = recipe(settings).model.backbone
    cfg.model.backbone.update(
        arch=vit.arch, img_size=vit.img_size, layer_scale_init_value=vit.layer_scale_init_value)
    cfg.model.head.embed_dims = vit.arch.embed_dims
    cfg.model.target_generator.init_cfg = None
    cfg.model.data_preprocessor = cfg.data_preprocessor
    _, step = trained(cfg.model, mmengines_wrapper(cfg.optim_wrapper, settings), settings)
    side = settings.img_size // 16
    masked = round(75 / 196 * side**2)  # as its config has it at 224 pixels

    def make_batch(batch: int) -> dict:
        masks = torch.rand(batch, side**2).argsort(dim=1) < masked
        samples = [DataSample(mask=mask.view(side, side)) for mask in masks]
        views = pinned(dict(own=images(batch, settings), tokenized=images(batch, settings, 2)))
        return dict(inputs=[*views.values()], data_samples=samples)

    return Variant(step, make_batch)


def mae(settings: Settings) -> Variant:
    """mmpretrain's MAE."""
    cfg = Config.fromfile(MMPRETRAIN / 'mae/mae_vit-base-p16_8xb512-amp-coslr-800e_in1k.py')
    vit = recipe(settings).model.backbone
    cfg.model.backbone.update(arch=vit.arch, img_size=vit.img_size)
    cfg.model.neck.update(
        embed_dim=vit.arch.embed_dims, num_patches=(settings.img_size // 16)**2)
    cfg.model.data_preprocessor = cfg.data_preprocessor
    _, step = trained(cfg.model, mmengines_wrapper(cfg.optim_wrapper, settings), settings)

    def make_batch(batch: int) -> dict:
        return dict(**pinned(dict(inputs=images(batch, settings))),
                    data_samples=[DataSample() for _ in range(batch)])

    return Variant(step, make_batch)


# Name in the table: how to build it. The first three compute the same.
VARIANTS: dict[str, Callable[[Settings], Variant]] = {
    'ours': ours,
    'ours, compiled': lambda settings: ours(settings, CompileHook()),
    'plain eager': plain,
    'ours, visible': partial(ours, student='visible'),
    'mmpretrain BEiT': beit,
    'mmpretrain MAE': mae,
}
CONMIM = tuple(VARIANTS)[:3]
