"""Fits a pre-training recipe to a folder of images of any number."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from inspect import signature

from mmengine.config import Config, ConfigDict
from mmpretrain.registry import HOOKS

from ...checkpoint.settings import dicts_in, type_name
from ...errors import InputError
from ...models.backbones.conmim_vit import ConMIMViT
from ...utils.machine import usable_cores
from ...utils.sizes import short_size, to_size

# What the ImageNet recipe of ViT-S sees: 300 epochs.
RECIPE_IMAGES = 300 * 1_281_167
# Above this factor the table grows by noise before there is anything to learn from it.
MAX_TABLE_FACTOR = 100.
TABLE = 'relative_position_bias_table'
MIN_STEPS = 8  # of an epoch, where the batch is ours to choose
CPU_BATCH = 16
# Learning rates summed over the steps: vit-tiny_1xb8_images-224px.py, which was tried on photos,
# has 1.2.
ENOUGH_TRAVEL, SMALL_FOLDER_RATE = 0.5, 5e-4
STEPS_BETWEEN_CHECKPOINTS = 500
CROP_RATIO = (3 / 4, 4 / 3)  # of LoadTwoViews, unless a config says so
ADAPTING_SHARE = 0.1  # of the rate from scratch, measured (docs/adapt.md)
ADAPTING_MOMENTUM = 0.996  # measured there as well
_OF_PIXELS = ('model.teacher.type', 'model.head.type', 'model.neck', 'model.backbone.patch_size')
PIXELS_FROM = 3000  # steps: pixels gain nothing in 1,880, but in 3,500 (docs/results.md)


@dataclass(frozen=True)
class Workload:
    """How much a run has to do.

    Attributes:
        images: In the data set.
        processes: That train together.
        batch_size: Images on each of them per step.
        epochs: Passes over the images.
    """

    images: int
    processes: int
    batch_size: int
    epochs: float

    @property
    def total_batch(self) -> int:
        """Images per step."""
        return self.batch_size * self.processes

    @property
    def epoch_length(self) -> int:
        """Steps of an epoch; what does not fill a batch is left out."""
        return math.ceil(self.images / self.processes) // self.batch_size

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return round(self.epoch_length * self.epochs)


def choose_batch(images: int, processes: int, recipe: int, wanted: int | None,
                 on_gpu: bool) -> tuple[int, str]:
    """Images on each process per step, and why it is another number than expected, or ''.

    Args:
        images: In the data set.
        processes: That train together.
        recipe: The recipe's batch.
        wanted: The user's, which is only lowered where there are too few images.
        on_gpu: Whether there is a GPU; without one batches are small.

    Raises:
        InputError: Fewer images than processes.
    """
    largest = images // processes
    if not largest:
        raise InputError(f'{images} images are fewer than {processes} processes; give more images')
    if wanted:
        if wanted <= largest:
            return wanted, ''
        return largest, f'lowered from {wanted}: there are only {images} images'
    usual = recipe if on_gpu else min(recipe, CPU_BATCH)
    fitting = 2**int(math.log2(max(largest // MIN_STEPS, 1)))
    if usual <= fitting:
        return usual, '' if on_gpu or usual == recipe else f"the recipe's is {recipe}: no GPU here"
    return fitting, f"the recipe's is {recipe}: so an epoch has {MIN_STEPS} steps or more"


def train_by_epochs(cfg: Config, epochs: int, epoch_length: int) -> None:
    """Gives a config a length in epochs, whatever it was counted in.

    Args:
        cfg: Changed in place; the warm-up keeps its share where it was in iterations.
        epochs: Length of the run.
        epoch_length: Steps of an epoch.

    Raises:
        InputError: Counted in iterations, with another schedule than ``WarmupCosineLR``.
    """
    if 'max_iters' not in cfg.train_cfg:
        cfg.train_cfg.max_epochs = epochs
    else:
        schedule = cfg.param_scheduler
        if not _is_ours(schedule):
            raise InputError(f'{cfg.filename} counts iterations and has another schedule than '
                             'WarmupCosineLR: --epochs cannot change it; use tools/train.py')
        schedule.warmup = epochs * schedule.warmup / cfg.train_cfg.max_iters
        schedule.update(by_epoch=True, convert_to_iter_based=True)
        cfg.train_cfg = dict(type='mmpretrain.ResumableEpochLoop', max_epochs=epochs)
        cfg.train_dataloader.sampler = dict(type='EpochSeededSampler', shuffle=True)
        cfg.default_hooks.checkpoint.by_epoch = True
        cfg.log_processor.by_epoch = True
    # a tenth of the run at most: for large folders every epoch, as in the recipes
    cfg.default_hooks.checkpoint.interval = max(1, min(
        math.ceil(STEPS_BETWEEN_CHECKPOINTS / epoch_length), epochs // 10))


def shorten_warmup(cfg: Config, epochs: int) -> str:
    """Keeps the warm-up to a tenth of the run, and says so if that changes it."""
    schedule = cfg.param_scheduler
    if not _is_ours(schedule) or schedule.warmup <= epochs / 10:
        return ''
    old, schedule.warmup = schedule.warmup, epochs / 10
    return f'shortened from {old:g}: a tenth of the run'


def scale_lr(cfg: Config, total_batch: int) -> str:
    """Scales the learning rate linearly to the batch, at the end of the schedule too; in words."""
    optimizer, schedule = cfg.optim_wrapper.optimizer, cfg.get('param_scheduler')
    base, recipe = cfg.auto_scale_lr.base_batch_size, optimizer.lr
    optimizer.lr = float(f'{recipe * total_batch / base:.4g}')
    if _is_ours(schedule):
        schedule.eta_min = float(f'{schedule.eta_min * total_batch / base:.4g}')
    cfg.auto_scale_lr.base_batch_size = total_batch
    return f'{recipe:.2g} x {total_batch}/{base} = {optimizer.lr:.2g}'


def slow_down(cfg: Config, lr: float | None, new: Sequence[str]) -> str:
    """Lets the weights that are there move slowly, so that new parts find their place first.

    Args:
        cfg: With the rate from scratch, which the new parts keep; changed in place.
        lr: The user's for all other parts; by default a share of that from scratch.
        new: The new parts.

    Returns:
        The rate in words.
    """
    optimizer, schedule = cfg.optim_wrapper.optimizer, cfg.get('param_scheduler')
    scratch, optimizer.lr = optimizer.lr, lr or float(f'{optimizer.lr * ADAPTING_SHARE:.4g}')
    share = optimizer.lr / scratch
    if _is_ours(schedule):
        schedule.eta_min = float(f'{schedule.eta_min * share:.4g}')
    keys = cfg.optim_wrapper.setdefault('paramwise_cfg', {}).setdefault('custom_keys', {})
    keys.update({f'{part}.': dict(
        lr_mult=float(f'{1 / share:.4g}'), decay_mult=None) for part in new})
    if TABLE in keys:
        keys[TABLE].lr_mult = 1.  # it has grown already
    return (f'{optimizer.lr:.2g}, {share:.2g} x that from scratch'
            + ', which new parts have' * bool(new))


def keep_teacher_slow(cfg: Config) -> None:
    """Gives a run that goes on from weights, which both networks have, the momentum for it."""
    if _sees_visible_patches(cfg):
        cfg.default_hooks.teacher.momentum = ADAPTING_MOMENTUM


def fit_teacher(cfg: Config, steps: int, changed: Collection[str] = ()) -> dict[str, str]:
    """Fits the teacher of a student of visible patches to the length of a run from scratch.

    It moves as far in a run of any length, and in a long one gives pixels as targets as well.
    Measured on a small ViT (docs/results.md).

    Args:
        cfg: Changed in place.
        steps: Of the run.
        changed: Keys of the config that the user sets; who sets what pixels need does without them.

    Returns:
        Momentum and targets in words, by name; empty where the config's own stay.
    """
    if not _sees_visible_patches(cfg):
        return {}
    hook = cfg.default_hooks.teacher
    hook.momentum = None
    start = HOOKS.build(hook).momentum_at(0, steps)
    lines = {'teacher': f'momentum from {start:.6g}, by the number of steps'}
    if (steps >= PIXELS_FROM and type_name(cfg.model.teacher) == 'EMABackboneTeacher'
            and not any(key.startswith(_OF_PIXELS) for key in changed)):
        look_up_pixels(cfg)
        lines['targets'] = (f"the teacher's tokens, and the patches' pixels (from {PIXELS_FROM:,} "
                            'steps on)')
    return lines


def look_up_pixels(cfg: Config) -> None:
    """Has each hole looked up by the pixels of the patches as well; a config is changed in place.

    Its backbone has its patches and bands already.
    """
    model, defaults = cfg.model, signature(ConMIMViT).parameters
    patch, bands = (model.backbone.get(key, defaults[key].default)
                    for key in ('patch_size', 'in_channels'))
    model.teacher.type = 'TokensAndPixelsTeacher'
    model.head.update(type='TokensAndPixelsHead', num_pixels=bands * patch**2)
    model.neck.out_channels = model.backbone.arch['embed_dims'] + model.head.num_pixels


def _sees_visible_patches(cfg: Config) -> bool:
    return bool(cfg.model.get('decoder') and cfg.get('default_hooks', {}).get('teacher'))


def raise_table_lr(cfg: Config, work: Workload) -> str:
    """Lets the relative position table grow within a short run, and says so if that is needed.

    With a linearly scaled learning rate, how far the table can go depends on the images seen. It
    gets the factor that the recipe's images are of the run's, and then no weight decay.
    """
    factor = RECIPE_IMAGES / (work.images * work.epochs)
    table = cfg.optim_wrapper.get('paramwise_cfg', {}).get('custom_keys', {}).get(TABLE)
    has_table = cfg.model.backbone.get('use_shared_rel_pos_bias', True)
    if factor < 4 or table is None or not has_table:  # ImageNet's scale
        return ''
    table.update(lr_mult=min(float(f'{factor:.2g}'), MAX_TABLE_FACTOR), decay_mult=0.)
    return (f'{table.lr_mult:g} x the learning rate, no weight decay: a run of '
            f'{work.images * work.epochs / 1e6:.3g} million images is too short for it to grow '
            'otherwise')


def low_lr_warning(cfg: Config, steps: int) -> str:
    """A warning where the weights can hardly move, by learning rate times steps; otherwise ''."""
    rate = cfg.optim_wrapper.optimizer.lr
    travelled = rate * steps / 2  # a cosine's mean is half its peak
    if travelled >= ENOUGH_TRAVEL:
        return ''
    better = min(2 * ENOUGH_TRAVEL / steps, SMALL_FOLDER_RATE)
    advice = f'more --epochs, or --lr {better:.1g}' if better > 1.5 * rate else 'more --epochs'
    return (f'little may be learnt in {steps:,} steps at this rate: try {advice}, or --arch tiny, '
            'whose recipe is for small folders')


def set_image_size(cfg: Config, size: int | Sequence[int]) -> None:
    """Changes the size of the views in the model and in the pipeline, and of what judges them.

    The crops change their proportions with the views, so that these show things no more stretched
    than before.

    Args:
        cfg: Changed in place.
        size: In pixels, the side of squares or ``(height, width)``.
    """
    old, new = to_size(cfg.model.backbone.img_size), to_size(size)
    stretch = new[1] / new[0] * old[0] / old[1]
    cfg.model.backbone.img_size = short_size(new)
    for transform in cfg.train_dataloader.dataset.pipeline:
        for key in ('size', 'img_size'):
            if transform.get(key) in (short_size(old), old, [*old]):
                transform[key] = short_size(new)
                if key == 'size' and stretch != 1:
                    transform.ratio = tuple(
                        round(stretch * bound, 4) for bound in transform.get('ratio', CROP_RATIO))
    for loader in ('val_dataloader', 'test_dataloader'):
        for part in dicts_in(cfg.get(loader)):
            for key, turn in (('size', 1), ('img_size', 1), ('crop_size', -1)):  # width first
                before, now = old[::turn], new[::turn]
                if part.get(key) in (short_size(before), before, [*before]):
                    part[key] = short_size(now)


def _is_ours(schedule: ConfigDict | list | None) -> bool:
    return isinstance(schedule, dict) and type_name(schedule) == 'WarmupCosineLR'


def describe_model(cfg: Config, name: str) -> str:
    """Size of the ViT, and the config it comes from, by its name."""
    backbone = cfg.model.backbone
    size = f'{backbone.arch["embed_dims"]} wide, {backbone.arch["num_layers"]} deep'
    views = short_size(to_size(backbone.get('img_size', 224)))
    views = views if isinstance(views, int) else '{} x {}'.format(*views)
    return (f'ViT, {size}, patches of {backbone.get("patch_size", 16)}, views of '
            f'{views} pixels ({name})')


def describe_student(cfg: Config, arch: str | None, asked: str | None) -> str:
    """What the student encodes, and how to have the other form.

    Args:
        cfg: The recipe.
        arch: The size that was asked for; None with a config of the user's own.
        asked: The form that was asked for.
    """
    text, other = (('encodes the visible patches alone', 'paper') if cfg.model.get('decoder') else
                   ("the paper's, mask tokens in the holes", 'visible'))
    return text + because(f'chosen by the number of images and epochs; --student {other} takes the '
                          'other form' if arch and not asked else '')


def set_num_epochs(cfg: Config, epochs: int | None, epoch_length: int, keeps: bool) -> float:
    """Fixes the length of the run; how many epochs it has.

    Args:
        cfg: Changed in place.
        epochs: The user's; by default the config's length.
        epoch_length: Steps of an epoch.
        keeps: Leave a length in iterations, that of a config of the user's own.
    """
    max_iters = cfg.train_cfg.get('max_iters')
    if max_iters and keeps and not epochs:
        return round(max_iters / epoch_length, 2)
    recipe = math.ceil(max_iters / epoch_length) if max_iters else cfg.train_cfg.max_epochs
    epochs = epochs or recipe
    train_by_epochs(cfg, epochs, epoch_length)
    return epochs


def set_lr_and_warmup(cfg: Config, lr: float | None, scales: bool, work: Workload) -> str:
    """Sets learning rate and warm-up; both in words.

    Args:
        cfg: Changed in place.
        lr: The user's; by default the config's,
        scales: which is scaled to the batch.
        work: Of the run.
    """
    optimizer = cfg.optim_wrapper.optimizer
    if scales and not lr:
        rate = scale_lr(cfg, work.total_batch)
    else:
        optimizer.lr = lr or optimizer.lr
        rate = f'{optimizer.lr:.2g}'
    if 'max_epochs' not in cfg.train_cfg:
        return rate
    why = shorten_warmup(cfg, work.epochs)
    schedule = cfg.get('param_scheduler')
    if isinstance(schedule, dict) and schedule.get('warmup'):
        rate += f', warm-up {schedule.warmup:g} epochs{because(why)}'
    return rate


def set_workers(cfg: Config, processes: int) -> str:
    """Lets no more processes read images than there are cores; how many do."""
    loader = cfg.train_dataloader
    cores, usual = usable_cores(), loader.get('num_workers', 0)
    loader.num_workers = min(usual, max(1, cores // processes))
    if not usual:
        return 'none: the training reads its images itself'
    few = f'the recipe has {usual}, this machine {cores} cores'
    return (f'{loader.num_workers} read the images' + ' of each process' * (processes > 1)
            + (because(few) if loader.num_workers < usual else ''))


def because(why: str) -> str:
    """A reason behind a text; nothing without one."""
    return f' ({why})' if why else ''
