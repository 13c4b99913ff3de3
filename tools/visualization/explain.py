"""Draws what a pre-training checkpoint has learnt, as the report of a run shows it: four pictures.

patch_similarity.png: for some hidden patches, how alike the student's guess is to each of the
teacher's patches. filled_holes.png: the holes filled with the patches that the student takes for
the hidden ones. attention.png: whom the class token and the middle patch attend to.
token_pca.png: patch tokens as colours, alike ones in alike colours, also across images.
"""

import argparse
from pathlib import Path

from common import add_model_arguments, load_with_views

from conmim_mm.utils.cli import add_overwrite_argument, run_tool
from conmim_mm.utils.files import check_new
from conmim_mm.visualization.explain import explain_samples
from conmim_mm.visualization.sheet import save_picture


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder to write to')
    parser.add_argument('--seed', type=int, default=0,
                        help='of mask and perturbation, which are drawn (default: 0)')
    add_overwrite_argument(parser)
    args = parser.parse_args()

    check_new(args.out / 'attention.png', args.overwrite)
    model, views = load_with_views(args, args.seed)
    pictures = {args.out / f'{picture.name}.png': picture
                for picture in explain_samples(model, views, len(args.images))}
    for target in pictures:
        check_new(target, args.overwrite)
    for target, picture in pictures.items():
        save_picture(picture.image, target)
        print(f'wrote {target}. {picture.caption}')


if __name__ == '__main__':
    run_tool(main)
