"""One run of a study: an ordinary training of the project, and its judges."""

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from mmpretrain.registry import MODELS
from peers import as_conmim_vit
from torch import nn

from conmim_mm.apis.backbone import frozen_backbone
from conmim_mm.apis.dense_evaluation import predict_maps
from conmim_mm.apis.evaluate import config_datasets
from conmim_mm.apis.train import resume_from_newest
from conmim_mm.datasets.segmentation_folder import segmentation_split
from conmim_mm.evaluation import evaluate_features, extract_features
from conmim_mm.evaluation.dense import knn_scores, linear_scores
from conmim_mm.formats.backbone import BackboneSizes, backbone_settings, build_backbone
from conmim_mm.formats.mmpretrain_format import write_backbone
from conmim_mm.utils.files import write_text
from conmim_mm.utils.run_config import drop_hooks_switched_off, read_config

RESULT, BACKBONE = 'result.json', 'backbone.pth'
TIMED_STEPS, WARM_UP_STEPS = 24, 6
Network = tuple[dict[str, torch.Tensor], BackboneSizes]  # weights and sizes of a ConMIMViT


class StepTimes(Hook):
    """Seconds from step to step, data and hooks included.

    Of processor time, which on one thread is the clock's on a machine without other work.
    """

    def before_train(self, runner: Runner) -> None:
        self.seconds, self.last = [], time.process_time()

    def after_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        now = time.process_time()
        self.seconds.append(now - self.last)
        self.last = now


def training_config(arm: dict, data: str, folder: Path, seed: int, steps: int) -> Config:
    """The config of an arm's training, over so many steps."""
    cfg = read_config(arm['config'], arm.get('options'), data)
    cfg.train_cfg.max_iters = steps
    cfg.param_scheduler.warmup = max(1, steps // 10)
    cfg.default_hooks.checkpoint.interval = max(1, steps // 8)
    return fit_run(cfg, folder / 'train', seed)


def fit_run(cfg: Config, work_dir: Path, seed: int) -> Config:
    """Lets a config train in this process, quietly; changed in place."""
    cfg.randomness = dict(seed=seed)
    cfg.work_dir = str(work_dir)
    cfg.launcher = 'none'
    cfg.log_level = 'WARNING'
    drop_hooks_switched_off(cfg)
    return cfg


def seconds_per_step(arm: dict, data: str, folder: Path) -> float:
    """Median of some steps of an arm, on this process's threads."""
    cfg = training_config(arm, data, folder, 0, WARM_UP_STEPS + TIMED_STEPS)
    cfg.default_hooks.checkpoint = None
    runner = Runner.from_cfg(cfg)
    times = StepTimes()
    runner.register_hook(times, priority='LOWEST')
    runner.train()
    return median(times.seconds[WARM_UP_STEPS:])


def trained_model(arm: dict, data: str, folder: Path, seed: int, steps: int) -> nn.Module:
    """The model of an arm after so many steps; goes on where it was interrupted."""
    cfg = training_config(arm, data, folder, seed, steps or 1)
    if not steps:
        init_default_scope('mmpretrain')
        set_random_seed(seed)
        model = MODELS.build(cfg.model)
        model.init_weights()
        return model
    resume_from_newest(cfg)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner.model


def frozen_accuracies(backbone: nn.Module, judges: Config) -> dict[str, float]:
    """Accuracies in per cent of frozen features: ``knn`` and ``linear``."""
    probe = copy.deepcopy(judges)
    probe.train_dataloader.dataset.images_per_class = judges.reference_per_class
    preprocessor = MODELS.build(probe.model.data_preprocessor)
    scores = evaluate_features(*(
        extract_features(backbone, part, preprocessor, num_workers=0)
        for part in config_datasets(probe)))
    return {name: 100 * score.value for name, score in scores.items()}


def finetune(weights: Path, settings: dict, judges: Config, seed: int, labels: int,
             steps: int) -> float:
    """Top-1 accuracy in per cent after so many steps of fine-tuning on so many labels a class."""
    cfg = copy.deepcopy(judges)
    cfg.train_dataloader.dataset.images_per_class = labels
    cfg.train_cfg.max_iters = cfg.train_cfg.val_interval = steps
    cfg.param_scheduler.warmup = max(1, steps // 10)
    cfg.model.backbone = dict(
        type='mmpretrain.ConMIMViT', drop_path_rate=0.,
        init_cfg=dict(type='Pretrained', checkpoint=str(weights)),
        **settings | dict(out_type='avg_featmap', use_shared_rel_pos_bias=False,
                          use_rel_pos_bias=settings['use_shared_rel_pos_bias']))
    cfg.model.head.in_channels = settings['arch']['embed_dims']
    cfg.default_hooks.checkpoint = None
    runner = Runner.from_cfg(fit_run(cfg, weights.parent / f'finetune-{labels}', seed))
    runner.train()
    return float(runner.message_hub.get_scalar('val/accuracy/top1').current())


def judge_images(networks: dict[str, Network], weights: Path, seed: int, judges: Config,
                 finetunes: list[dict[str, int]]) -> dict[str, float]:
    """Accuracies of a run's student, and teacher if it has one, on labelled images.

    ``finetunes`` are arguments of :func:`finetune`.
    """
    found = {f'{who}/{key}': value for who, network in networks.items()
             for key, value in frozen_accuracies(build_backbone(*network), judges).items()}
    settings = backbone_settings(networks['student'][1])
    for one in finetunes:
        found[f'student/finetune {one["labels"]}'] = finetune(
            weights, settings, judges, seed, **one)
    return found


def judge_maps(networks: dict[str, Network], weights: Path, seed: int, maps: Path,
               img_size: int) -> dict[str, float]:
    """Mean IoU in per cent of a student's frozen patches, by retrieval and by a linear layer."""
    _, found = predict_maps(
        frozen_backbone(weights, img_size=img_size), segmentation_split(str(maps)),
        dict(knn=knn_scores, linear=linear_scores), (64, 0), ignore=())
    return {f'student/dense {name}': 100 * score.value for name, score in found.items()}


def run(arm: dict, judge: Callable[[dict[str, Network], Path, int], dict[str, float]], data: str,
        folder: Path, seed: int, steps: int) -> dict:
    """Trains, judges and writes the result; a result that is there is read.

    The backbone is left beside it, as a file that ``conmim compare`` and others take.
    """
    path = folder / RESULT
    if path.is_file():
        return json.loads(path.read_text(encoding='utf-8'))
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    model = trained_model(arm, data, folder, seed, steps)
    result = dict(steps=steps, seconds=round(time.perf_counter() - started, 1))
    networks = dict(student=as_conmim_vit(model.backbone))
    if steps and hasattr(model, 'teacher'):
        networks['teacher'] = as_conmim_vit(model.teacher.backbone)
    write_backbone(*networks['student'], folder / BACKBONE)
    result |= judge(networks, folder / BACKBONE, seed)
    write_text(path, json.dumps(result))
    return result


def set_threads() -> None:
    """One thread, however many cores there are: runs go side by side."""
    torch.set_num_threads(1)
