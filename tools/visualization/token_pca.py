"""Draws patch tokens as colours: alike tokens have alike colours, also across images.

Red, green and blue are the first three principal components, over all given images together.
"""

import argparse

from common import (
    add_picture_arguments,
    add_weights_argument,
    backbone_of,
    load_with_views,
)

from conmim_mm.utils.cli import run_tool
from conmim_mm.visualization.sheet import save_picture, to_pixels
from conmim_mm.visualization.sheets import draw_token_colours
from conmim_mm.visualization.token_pca import patch_tokens, token_colours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_picture_arguments(parser)
    add_weights_argument(parser)
    args = parser.parse_args()

    model, views = load_with_views(args)
    backbone, images = backbone_of(model, args.weights), views['student_view']
    colours = token_colours(patch_tokens(backbone, images))
    save_picture(
        draw_token_colours(to_pixels(images, model.data_preprocessor), colours,
                           backbone.grid_of(images)), args.out)
    print(f'wrote {args.out}')


if __name__ == '__main__':
    run_tool(main)
