"""Draws a map of a folder's images: near ones have like features (t-SNE).

Colours and markers are the classes, where the folder has them: CLASS/*, or train/CLASS/* and
val/CLASS/*, of which the held-out images are taken. The features are the mean of the normalised
patch tokens.
"""

import argparse

from common import (
    add_model_arguments,
    add_weights_argument,
    backbone_of,
    check_picture_file,
)
from mmengine.device import get_device

from conmim_mm.datasets import read_rgb
from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool
from conmim_mm.visualization.feature_map import (
    MAX_LEGEND,
    MIN_IMAGES,
    draw_feature_map,
    folder_features,
    map_features,
    small,
    spread_points,
)
from conmim_mm.visualization.load_model import load_pretraining
from conmim_mm.visualization.sheet import save_picture


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='pre-training checkpoint')
    parser.add_argument('folder', help='of images')
    parser.add_argument('--images', type=int, default=1000, metavar='N',
                        help='at most so many, evenly spread over the folder (default: 1000)')
    parser.add_argument('--thumbnails', type=int, default=0, metavar='N',
                        help='show so many of the images themselves (default: 0)')
    parser.add_argument('--seed', type=int, default=0, help='of t-SNE (default: 0)')
    parser.add_argument('--num-workers', type=int, default=2,
                        help='processes that read images (default: 2)')
    add_weights_argument(parser)
    add_model_arguments(parser)
    args = parser.parse_args()

    if args.images < MIN_IMAGES:
        raise InputError(f'--images must be at least {MIN_IMAGES}, but is {args.images}')
    check_picture_file(args.out)
    model, _ = load_pretraining(args.checkpoint, args.config)
    model = model.to(get_device())
    found = folder_features(backbone_of(model, args.weights), model.data_preprocessor, args.folder,
                            args.images, args.num_workers)
    points = map_features(found.features, args.seed)
    chosen = spread_points(points, args.thumbnails, distance=(points.max() - points.min()) / 12)
    title = f"{len(points)} images as the {args.weights}'s features lie"
    save_picture(
        draw_feature_map(points, title, found.labels, found.classes,
                         {index: small(read_rgb(found.paths[index])) for index in chosen}),
        args.out)
    words = f'{len(found.classes)} classes' if found.classes else 'no class folders, so one colour'
    if len(found.classes) > MAX_LEGEND:
        words += f', too many for a legend (up to {MAX_LEGEND})'
    print(f'wrote {args.out}: {len(points)} images, {words}')


if __name__ == '__main__':
    run_tool(main)
