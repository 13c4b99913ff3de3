"""Draws whom the class token, and chosen patches, of an image attend to in a block of the ViT.

A value of 1 is an even share of all tokens.
"""

import argparse

from common import (
    add_picture_arguments,
    add_weights_argument,
    backbone_of,
    load_with_views,
)

from conmim_mm.utils.cli import run_tool
from conmim_mm.visualization.attention import CLASS_TOKEN, attention_weights, patch_at
from conmim_mm.visualization.attention_picture import open_window, sheet_of_image
from conmim_mm.visualization.sheet import save_picture, to_pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_picture_arguments(parser, images=1)
    add_weights_argument(parser)
    parser.add_argument('--patch', nargs=2, type=int, action='append', default=[],
                        metavar=('X', 'Y'), help='a pixel of the image as the model sees it, whose '
                        'patch asks as well; may be given several times')
    parser.add_argument('--block', type=int, default=-1, help='from 0, or from the end with -1 '
                        '(default: the last)')
    parser.add_argument('--head', type=int, help='this head alone, from 0 (default: the mean, and '
                        'the first heads beside it)')
    parser.add_argument('--interactive', action='store_true', help='then open a window in which '
                        'clicked patches ask')
    args = parser.parse_args()

    model, views = load_with_views(args)
    backbone, images = backbone_of(model, args.weights), views['student_view']
    grid, size = backbone.grid_of(images), tuple(images.shape[-2:])
    patches = [patch_at(x, y, size, backbone.patch_size) for x, y in args.patch]
    queries = [CLASS_TOKEN, *(1 + row * grid[1] + column for row, column in patches)]
    weights = attention_weights(backbone, images, args.block)[0].cpu()
    image = to_pixels(images, model.data_preprocessor)[0]
    save_picture(sheet_of_image(image, weights, grid, queries, args.head).pixels(), args.out)
    print(f'wrote {args.out}: the image is {size[1]} pixels wide and {size[0]} high to the model')
    if args.interactive:
        open_window(image, weights, grid, args.head)


if __name__ == '__main__':
    run_tool(main)
