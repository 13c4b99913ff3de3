"""Fills the holes of the student's image with the patches that it takes for the hidden ones."""

import argparse

from common import add_picture_arguments, add_seed_argument, load_with_views

from conmim_mm.utils.cli import run_tool
from conmim_mm.visualization.look_up import describe_score, look_up
from conmim_mm.visualization.sheet import save_picture, to_pixels
from conmim_mm.visualization.sheets import draw_filled_holes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_picture_arguments(parser)
    add_seed_argument(parser)
    args = parser.parse_args()

    model, views = load_with_views(args, args.seed)
    found = look_up(model, views)
    save_picture(
        draw_filled_holes(to_pixels(views['student_view'], model.data_preprocessor), found,
                          model.backbone.grid_of(views['student_view'])), args.out)
    print(f'wrote {args.out}. {describe_score(found)}')


if __name__ == '__main__':
    run_tool(main)
