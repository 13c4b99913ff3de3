"""Tests a trained classifier, segmentor or detector: prints its metrics, draws its predictions."""

import argparse
import os
from pathlib import Path

from mmengine.config import Config
from run_arguments import parse_run_arguments, run_config

from conmim_mm import register_all_modules
from conmim_mm.apis.build_runner import build_runner
from conmim_mm.apis.data_settings import sound_data_settings
from conmim_mm.checkpoint.settings import reading_in, type_name
from conmim_mm.distributed.agreement import check_configs_agree
from conmim_mm.distributed.launch import processes
from conmim_mm.errors import InputError
from conmim_mm.utils.cli import add_overwrite_argument, run_tool
from conmim_mm.utils.files import check_new
from conmim_mm.utils.run_config import check_checkpoint, drop_hooks_switched_off


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint of a training with this config')
    parser.add_argument('--tta', action='store_true',
                        help="test-time augmentation, by the config's tta_model and tta_pipeline")
    parser.add_argument('--out', metavar='FILE.pkl', help='save all predictions')
    add_overwrite_argument(parser)
    parser.add_argument('--show-dir', metavar='DIR', help='save pictures of the predictions')
    return parse_run_arguments(parser)


def load_config(args: argparse.Namespace) -> Config:
    """The config file with the command line applied to it.

    Raises:
        InputError: No such config or checkpoint, or the config lacks what an option needs.
    """
    if args.out:
        check_new(Path(args.out), args.overwrite)
    cfg = run_config(args)
    if not cfg.get('test_dataloader') or not cfg.get('test_evaluator'):
        raise InputError(f'{args.config} has no test_dataloader and test_evaluator: nothing to '
                         'test (frozen features of pre-training: conmim knn)')
    check_checkpoint(args.checkpoint)
    cfg.load_from = args.checkpoint
    if args.tta:
        use_test_time_augmentation(cfg, args.config)
    if args.show_dir:
        draw_predictions(cfg, args.show_dir, args.config)
    if args.out:
        if not args.out.endswith(('.pkl', '.pickle')):
            raise InputError(f'--out writes a pickle; give it a name like {args.out}.pkl')
        evaluators = cfg.test_evaluator
        evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
        cfg.test_evaluator = [*evaluators, dict(type='mmengine.DumpResults',
                                                out_file_path=args.out)]
    return cfg


def use_test_time_augmentation(cfg: Config, name: str) -> None:
    """Puts the config's tta_model around the model and its tta_pipeline before it."""
    if 'tta_model' not in cfg or 'tta_pipeline' not in cfg:
        raise InputError(f'{name} has no tta_model and tta_pipeline; test it without --tta')
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(cfg.tta_model, module=cfg.model)


def draw_predictions(cfg: Config, folder: str, name: str) -> None:
    """Lets the toolbox's own visualization hook write pictures into a folder."""
    hook = cfg.get('default_hooks', {}).get('visualization')
    if not hook:
        raise InputError(f'{name} has no default_hooks.visualization; --show-dir needs one')
    if keys := reading_in(cfg.test_dataloader):
        raise InputError(f'--show-dir: the toolboxes draw on 8-bit colours, but {name} reads its '
                         f'images by {dict(keys)}; leave it out')
    kind = type_name(hook)
    if kind == 'VisualizationHook':  # mmpretrain's
        hook.update(enable=True, out_dir=folder)
    elif kind == 'DetVisualizationHook':
        hook.update(draw=True, test_out_dir=os.path.abspath(folder))
    else:  # mmseg's writes where its visualizer does
        hook.update(draw=True, interval=1)
        cfg.visualizer.save_dir = folder


def main() -> None:
    args = parse_args()
    register_all_modules()  # for configs, too, that do not do it themselves
    cfg = load_config(args)
    drop_hooks_switched_off(cfg)
    with processes(cfg), sound_data_settings(cfg):
        check_configs_agree(cfg)
        build_runner(cfg).test()


if __name__ == '__main__':
    run_tool(main)
