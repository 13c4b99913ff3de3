"""Writes the backbone of a checkpoint for timm, Hugging Face transformers or the original code.

CKPT is any checkpoint of this project: pre-training, the file of extract_backbone.py, or a trained
classifier, segmentor or detector. Task heads and the projector are left out. The last line printed
is the Python line that builds the model and loads the file strictly. For transformers, OUT is a
folder; otherwise a file that ends in .pth. The weights expect RGB images, normalised with the mean
and std of ImageNet.
"""

import argparse
from pathlib import Path

from conmim_mm.apis.export import FORMATS, export  # noqa: F401
from conmim_mm.checkpoint.reading import WHOSE_WEIGHTS
from conmim_mm.formats.timm_format import timm_line  # noqa: F401
from conmim_mm.utils.cli import run_tool
from conmim_mm.utils.run_config import add_trust_argument


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='CKPT', type=Path, help='checkpoint of this project')
    parser.add_argument('target', metavar='OUT', type=Path, help='file or folder to write')
    parser.add_argument('--format', required=True, choices=list(FORMATS))
    parser.add_argument(
        '--weights', choices=WHOSE_WEIGHTS,
        help="whose weights of a pre-training checkpoint (default: the teacher's, as published)")
    parser.add_argument(
        '--num-heads', type=int,
        help='attention heads; needed only without relative position tables, which tell them')
    add_trust_argument(parser)
    args = parser.parse_args()
    line = export(args.source, args.target, args.format, args.weights, args.num_heads)
    print(f'wrote {args.target}; it is loaded by')
    print(line)


if __name__ == '__main__':
    run_tool(main)
