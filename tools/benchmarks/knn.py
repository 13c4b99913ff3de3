"""k-NN accuracy of frozen features: how well a backbone separates classes without any training.

CONFIG is a classification config: its training images are the reference, its test images are
classified, both as its test pipeline shows them. The features are the mean of the normalised patch
tokens; a fine-tuned classifier's are what its head sees.
"""

import argparse
import json
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS
from torch import nn
from torch.utils.data import Dataset

from conmim_mm.checkpoint.reading import WHOSE_WEIGHTS, backbone_state, load_checkpoint_file
from conmim_mm.errors import InputError
from conmim_mm.evaluation import Accuracy, extract_features, knn_predict
from conmim_mm.models.backbones.pretrained import BLOCK_TABLE, SHARED_TABLE
from conmim_mm.utils.cli import run_tool
from conmim_mm.utils.run_config import add_config_arguments, add_trust_argument, read_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='classification config')
    parser.add_argument(
        'checkpoint', help='pre-training checkpoint, extracted backbone or classifier')
    parser.add_argument(
        '--weights',
        choices=WHOSE_WEIGHTS,
        default='teacher',
        help='whose, of a pre-training checkpoint (default: teacher)')
    parser.add_argument('--k', type=int, default=20, help='neighbours (default: 20)')
    parser.add_argument(
        '--temperature', type=float, default=0.07, help='of their votes (default: 0.07)')
    parser.add_argument('--json', type=Path, metavar='OUT', help='write the result to this file')
    add_config_arguments(parser)
    add_trust_argument(parser)
    return parser.parse_args()


def load_config(args: argparse.Namespace) -> Config:
    """The config with the command line applied to it.

    Raises:
        InputError: A number out of range, no such config, or not one of a classifier.
    """
    if args.k < 1:
        raise InputError(f'--k must be at least 1, but is {args.k}')
    if args.temperature <= 0:
        raise InputError(f'--temperature must be above 0, but is {args.temperature}')
    cfg = read_config(args.config, args.cfg_options, args.data_root)
    if cfg.get('model', {}).get('type') != 'ImageClassifier' or 'test_dataloader' not in cfg:
        raise InputError(f'{args.config} is not a classification config; take one of '
                         'configs/classification')
    return cfg


def build_backbone(cfg: Config, checkpoint: str, weights: str) -> nn.Module:
    """The config's backbone with the checkpoint's weights, all of them.

    Raises:
        InputError: The checkpoint cannot be read or does not fit.
    """
    state = backbone_state(load_checkpoint_file(checkpoint), weights)
    # The same backbone comes in these forms: pre-trained, frozen and fine-tuned.
    form = dict(
        out_type='avg_featmap' if 'fc_norm.weight' in state else 'raw',
        use_shared_rel_pos_bias=SHARED_TABLE in state,
        use_rel_pos_bias=BLOCK_TABLE.format(0) in state)
    init_cfg = dict(type='Pretrained', checkpoint=checkpoint, weights=weights)
    backbone = MODELS.build(cfg.model.backbone | form | dict(init_cfg=init_cfg))
    backbone.init_weights()
    return backbone


def build_datasets(cfg: Config) -> tuple[Dataset, Dataset]:
    """Reference and queries, both with the test pipeline.

    Raises:
        InputError: Images are missing, or the two have different classes.
    """
    pipeline = cfg.test_dataloader.dataset.pipeline
    try:
        reference, queries = (
            DATASETS.build(part | dict(pipeline=pipeline))
            for part in (cfg.train_dataloader.dataset, cfg.test_dataloader.dataset))
    except (AssertionError, OSError) as error:
        raise InputError(f'cannot read the images: {error}') from error
    classes = [dataset.metainfo.get('classes') for dataset in (reference, queries)]
    if classes[0] != classes[1]:
        raise InputError(f'training and test images have different classes: {classes[0]} and '
                         f'{classes[1]}')
    return reference, queries


def evaluate(cfg: Config, backbone: nn.Module, k: int, temperature: float) -> tuple[Accuracy, int]:
    """Top-1 accuracy on the test images, and how many reference images there are."""
    device = get_device()
    backbone = backbone.to(device)
    preprocessor = MODELS.build(cfg.model.data_preprocessor).to(device)
    loader = cfg.test_dataloader
    reference, queries = (
        [tensor.to(device) for tensor in extract_features(
            backbone, dataset, preprocessor, loader.batch_size, loader.num_workers)]
        for dataset in build_datasets(cfg))
    predicted = knn_predict(*reference, queries[0], k=k, temperature=temperature)
    right = (predicted == queries[1]).float().mean().item()
    return Accuracy(right, len(queries[1])), len(reference[1])


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    backbone = build_backbone(cfg, args.checkpoint, args.weights)
    accuracy, num_reference = evaluate(cfg, backbone, args.k, args.temperature)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(dict(
            top1=accuracy.value,
            standard_error=accuracy.standard_error,
            num_images=accuracy.num_images,
            num_reference=num_reference,
            k=args.k,
            temperature=args.temperature,
            config=args.config,
            checkpoint=args.checkpoint,
            weights=args.weights), indent=2) + '\n')
    print(f'{args.k}-NN top-1: {accuracy.value:.2%} (standard error {accuracy.standard_error:.2%}) '
          f'on {accuracy.num_images} images, from {num_reference} with labels')


if __name__ == '__main__':
    run_tool(main)
