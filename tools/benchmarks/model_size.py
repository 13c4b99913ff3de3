"""Counts a config's parameters and operations, as the metafiles state them.

Parameters: all of the model but the teacher, which is a copy. FLOPs: as OpenMMLab counts them, the
multiplications and additions in pairs, of the matrix products and convolutions that one image takes
from pixels to features (`extract_feat`), at the config's image size; for configs of mmpretrain's
models only.
"""

import argparse

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from conmim_mm.utils.cli import run_tool
from conmim_mm.utils.run_config import read_config

MMPRETRAIN = 'mmpretrain'


def count_parameters(cfg: Config) -> int:
    """How many numbers a config's model learns, frozen ones included and its teacher left out."""
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    return sum(value.numel() for name, value in model.named_parameters()
               if not name.startswith('teacher.'))


def count_operations(cfg: Config) -> int:
    """Multiply-adds from one image to the features of one of mmpretrain's models."""
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).eval()
    side = cfg.model.backbone.img_size
    # the counter knows no fused attention of CPUs
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.extract_feat(torch.zeros(1, 3, side, side))
    return counter.get_total_flops() // 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='config files')
    args = parser.parse_args()
    for path in args.configs:
        cfg = read_config(path)
        line = f'{path}: Parameters {count_parameters(cfg)}'
        if cfg.default_scope == MMPRETRAIN:
            line += f', FLOPs {count_operations(cfg)}'
        print(line)


if __name__ == '__main__':
    run_tool(main)
