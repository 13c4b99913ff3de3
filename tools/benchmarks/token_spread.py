"""What the tokens of a backbone have in common, and in how many directions they differ.

After each block: the length of the mean token over the mean length of a token (near 1: all tokens
are nearly the same vector) and the effective rank. A task head that begins with a norm over single
tokens suffers from the first, one that begins with a batch norm does not (docs/learning.md).
"""

import argparse
from typing import NamedTuple

import torch
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from mmpretrain.registry import DATASETS, MODELS
from torch.utils.data import DataLoader

from conmim_mm.checkpoint.reading import WHOSE_WEIGHTS
from conmim_mm.evaluation.tokens import effective_count
from conmim_mm.utils.cli import add_trust_argument, run_tool
from conmim_mm.utils.run_config import read_config


class TokenSpread(NamedTuple):
    """Result of :func:`token_spread`.

    Attributes:
        shared: Length of the mean token over the mean length of a token: 1 if all tokens are the
            same vector, near 0 if they point everywhere.
        rank: Effective rank of the tokens' covariance, from 1 to their width C: in how many
            directions they differ.
    """

    shared: float
    rank: float


def token_spread(tokens: torch.Tensor) -> TokenSpread:
    """Measures what tokens have in common and in how many directions they differ.

    The effective rank is the exponential of the entropy of the covariance's eigenvalues, taken as
    shares of their sum (Roy and Vetterli, EUSIPCO 2007); the covariance is that of the tokens less
    their mean.

    Args:
        tokens: ``(N, C)`` floats, N at least 2, not all of them equal.
    """
    tokens = tokens.double()
    mean = tokens.mean(dim=0)
    centred = tokens - mean
    variances = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0)
    return TokenSpread(
        shared=(mean.norm() / tokens.norm(dim=1).mean()).item(),
        rank=effective_count(variances).item())


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='pre-training config')
    parser.add_argument('images', help='folder of images')
    parser.add_argument('--checkpoint', help='default: random weights')
    parser.add_argument('--weights', choices=WHOSE_WEIGHTS, default='teacher',
                        help='whose, of a pre-training checkpoint (default: teacher)')
    parser.add_argument('--size', type=int, help="side in pixels (default: the backbone's)")
    parser.add_argument('--limit', type=int, default=160, help='images (default: 160)')
    add_trust_argument(parser)
    return parser.parse_args()


@torch.no_grad()
def measure(args: argparse.Namespace) -> list[TokenSpread]:
    """The spread of the patch tokens after each block, the last one's normalised.

    Raises:
        InputError: The config, the images or the checkpoint cannot be read or do not fit.
    """
    cfg = read_config(args.config)
    init_default_scope('mmpretrain')
    set_random_seed(0)
    init_cfg = args.checkpoint and dict(
        type='Pretrained', checkpoint=args.checkpoint, weights=args.weights)
    backbone = MODELS.build(cfg.model.backbone | dict(use_mask_token=False, init_cfg=init_cfg))
    backbone.init_weights()
    backbone = backbone.to(get_device()).eval()
    preprocessor = MODELS.build(cfg.model.data_preprocessor).to(get_device())
    size = args.size or backbone.img_size[0]
    images = DATASETS.build(dict(
        type='ImageFiles', data_root=args.images, pipeline=[
            dict(type='LoadRGBImage'),
            dict(type='ResizeEdge', scale=size, edge='short', backend='pillow',
                 interpolation='bicubic'),
            dict(type='CenterCrop', crop_size=size),
            dict(type='PackInputs'),
        ]))
    images = images.get_subset(min(args.limit, len(images)))
    tokens: list[list[torch.Tensor]] = [[] for _ in backbone.blocks]
    loader = DataLoader(images, batch_size=32, collate_fn=lambda samples: dict(
        inputs=torch.stack([sample['inputs'] for sample in samples])))
    for batch in loader:
        pixels = preprocessor(batch)['inputs']
        outputs = backbone.forward_blocks(backbone.embed_patches(pixels), backbone.grid_of(pixels))
        outputs[-1] = backbone.norm(outputs[-1])
        for block_tokens, output in zip(tokens, outputs, strict=True):
            block_tokens.append(output[:, backbone.num_extra_tokens:].flatten(0, 1).cpu())
    return [token_spread(torch.cat(block_tokens)) for block_tokens in tokens]


def main() -> None:
    args = parse_args()
    print(f'{"block":>5}{"in common":>12}{"effective rank":>17}')
    for block, spread in enumerate(measure(args), start=1):
        print(f'{block:>5}{spread.shared:>12.2f}{spread.rank:>17.1f}')


if __name__ == '__main__':
    run_tool(main)
