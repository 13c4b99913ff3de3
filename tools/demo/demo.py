"""Pre-trains a small ViT on generated scenes, or on your own images, within minutes on two cores.

Before and after, frozen features are judged on held-out labelled images. The loss curve and the
numbers go to the output folder. Repeated, it shows what is there; interrupted, it goes on.
"""

import argparse
import logging
import math
import os
import sys
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from mmpretrain.registry import MODELS
from torch import nn
from tqdm import tqdm

sys.path.append(str(Path(__file__).parents[1] / 'dataset_converters'))  # for the scenes

from learning_curve import draw_learning_curve
from output_folder import prepare_output, save_results
from scenes import SceneSettings, make_scenes

from conmim_mm.apis.train import resume_from_newest
from conmim_mm.datasets.labelled_folder import (
    LabelledSplit,
    find_labelled_split,
    labelled_datasets,
)
from conmim_mm.engine.hooks.live_view.live_view_hook import terminal
from conmim_mm.errors import InputError
from conmim_mm.evaluation import Accuracy, evaluate_features, extract_features
from conmim_mm.report.run_log import read_run_log
from conmim_mm.utils.cli import add_trust_argument, run_tool

CONFIG = Path(__file__).parents[2] / 'configs/conmim/vit-tiny_visible_1xb32_scenes-64px.py'
SCENES = SceneSettings(images=6000, size=64, seed=0, val=2000)
AVERAGED_ENTRIES = 3  # of the log, at its end
LOG_LEVEL = 'ERROR'  # the line of progress tells enough
SECONDS_PER_LINE = 15.
OUTPUTS = ('loss_curve.png', 'pretrain')


class SlowProgress(Hook):
    """A line now and then where there is no terminal, so that a log of it shows life."""

    priority = 'VERY_LOW'

    def before_train(self, runner: Runner) -> None:
        self.bar = tqdm(total=runner.max_iters, initial=runner.iter, desc='pre-training',
                        unit='step', mininterval=SECONDS_PER_LINE, maxinterval=SECONDS_PER_LINE,
                        disable=terminal() is not None)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter % 10 == 0:
            self.bar.set_postfix(
                {key: f'{outputs[key].item():.3f}' for key in ('loss', 'hit_rate')}, refresh=False)
        self.bar.update()

    def after_train(self, runner: Runner) -> None:
        self.bar.close()


def build_config(args: argparse.Namespace, split: LabelledSplit | None, data: Path) -> Config:
    """The demo's recipe on the given images."""
    cfg = Config.fromfile(CONFIG)
    dataset = split.train if split else dict(data_root=str(data), data_prefix='')
    cfg.train_dataloader.dataset.pop('data_prefix')
    cfg.train_dataloader.dataset.update(dataset)
    cfg.train_dataloader.pin_memory = torch.cuda.is_available()
    cfg.randomness.seed = args.seed
    cfg.work_dir = str(args.out / 'pretrain')
    cfg.log_level = LOG_LEVEL
    resume_from_newest(cfg)
    cfg.launcher = 'none'
    return cfg


def evaluate(model: nn.Module, split: LabelledSplit) -> dict[str, Accuracy]:
    """Accuracy of the student's frozen features on the held-out images."""
    parts = [
        extract_features(model.backbone, dataset, model.data_preprocessor)
        for dataset in labelled_datasets(split, model.backbone.img_size)
    ]
    return evaluate_features(*parts)


def build_random_model(cfg: Config) -> nn.Module:
    """The model before its first step: the weights that training starts from."""
    set_random_seed(cfg.randomness.seed)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def pretrain(cfg: Config) -> nn.Module:
    """Trains, or goes on where an interrupted demo stopped."""
    runner = Runner.from_cfg(cfg)
    runner.register_hook(SlowProgress())
    runner.train()
    return runner.model


def summarise(results: dict) -> str:
    """The numbers as text."""
    lines = [
        f'loss      {results["loss"]:.2f}   (chance: {results["chance_loss"]:.2f})',
        f'hit rate  {results["hit_rate"]:.3f}  (chance: {results["chance_hit_rate"]:.3f})',
    ]
    if 'accuracy' not in results:
        return '\n'.join([*lines, 'no labels found, so no accuracy (folders named by class, or '
                          'train/CLASS and val/CLASS, would give some)'])
    lines.append(f'accuracy on {results["num_held_out"]} held-out images, '
                 f'{results["num_classes"]} classes   before   after   gain')
    for name, label in dict(knn='20-NN', linear='linear probe').items():
        before, after = (results['accuracy'][when][name] for when in ('before', 'after'))
        error = math.hypot(before['standard_error'], after['standard_error'])
        gain = after['value'] - before['value']
        # nothing right or nothing wrong on a few images: no error to measure the gain with
        in_errors = f' ({gain / error:.1f} standard errors)' if error else ''
        lines.append(f'  {label:<46} {before["value"]:6.1%}  {after["value"]:6.1%}  '
                     f'{gain:+.1%}{in_errors}')
    return '\n'.join(lines)


def run_demo(args: argparse.Namespace) -> dict:
    """Everything, from data to numbers."""
    started = time.time()
    data = args.data
    if data is None:
        data = args.out / f'scenes-v{SCENES.meta()["generator_version"]}' / 'imagenet'
        print('generating the scenes (about half a minute, once)', flush=True)
        make_scenes(data.parent, SCENES, workers=os.cpu_count() or 1)
    elif not data.is_dir():
        raise InputError(f'no such folder: {data}')
    split = find_labelled_split(str(data))
    print(f'images: {data}, ' +
          (f'labels: {len(split.classes)} folders' if split else 'no labels'), flush=True)

    cfg = build_config(args, split, data)
    before = None
    if split:
        print('judging random weights', flush=True)
        before = evaluate(build_random_model(cfg), split)
    model = pretrain(cfg)

    scalars = read_run_log(Path(cfg.work_dir)).training
    num_patches = math.prod(model.backbone.grid)
    last = scalars[-AVERAGED_ENTRIES:]
    results = dict(
        chance_loss=math.log(num_patches),
        chance_hit_rate=1 / num_patches,
        **{key: sum(entry[key] for entry in last) / len(last) for key in ('loss', 'hit_rate')})
    if split:
        print('judging what was learnt', flush=True)
        after = evaluate(model, split)
        results['num_classes'] = len(split.classes)
        results['num_held_out'] = after['knn'].num_images
        results['accuracy'] = {
            when: {
                name: dict(value=accuracy.value, standard_error=accuracy.standard_error)
                for name, accuracy in accuracies.items()
            } for when, accuracies in dict(before=before, after=after).items()
        }
    results['seconds'] = round(time.time() - started)
    draw_learning_curve(scalars, num_patches, args.out / 'loss_curve.png',
                        f'ConMIM, small ViT on {data.name if args.data else "generated scenes"}')
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=lambda text: Path(text).expanduser(),
                        help='folder of images; default: generated scenes')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo'), help='output folder')
    parser.add_argument('--seed', type=int, default=0)
    add_trust_argument(parser)
    args = parser.parse_args()

    logging.captureWarnings(True)
    MMLogger.get_instance('demo', log_level=LOG_LEVEL)
    init_default_scope('mmpretrain')
    settings = dict(data=str(args.data.resolve()) if args.data else None, seed=args.seed,
                    config=CONFIG.read_text(encoding='utf-8'), scenes=SCENES.meta())
    results = prepare_output(args.out, settings, OUTPUTS)
    if results is None:
        results = run_demo(args)
        save_results(args.out, results)
    else:
        print(f'this demo has run already; delete {args.out} to run it anew')
    print(f'\n{summarise(results)}\n\ncurve: {args.out}/loss_curve.png\n'
          f'numbers: {args.out}/results.json\nreport: {args.out}/pretrain/report.html\n'
          f'checkpoint and log: {args.out}/pretrain')


if __name__ == '__main__':
    run_tool(main)
