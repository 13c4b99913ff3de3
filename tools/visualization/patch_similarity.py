"""Draws which of the teacher's patches the student takes for hidden ones: what ConMIM trains."""

import argparse

from common import add_picture_arguments, add_seed_argument, load_with_views

from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool
from conmim_mm.visualization.look_up import describe_score, look_up
from conmim_mm.visualization.sheet import save_picture, to_pixels
from conmim_mm.visualization.sheets import MAX_HOLES, draw_similarities


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_picture_arguments(parser)
    add_seed_argument(parser)
    parser.add_argument('--holes', type=int, default=4,
                        help='how many hidden patches of each image to show (default: 4)')
    args = parser.parse_args()

    if not 1 <= args.holes <= MAX_HOLES:
        raise InputError(f'--holes must lie between 1 and {MAX_HOLES}, but is {args.holes}')
    model, views = load_with_views(args, args.seed)
    found = look_up(model, views)
    pixels = [to_pixels(views[key], model.data_preprocessor)
              for key in ('student_view', 'teacher_view')]
    grid = model.backbone.grid_of(views['student_view'])
    save_picture(draw_similarities(*pixels, found, grid, args.holes), args.out)
    print(f'wrote {args.out}. {describe_score(found)}')


if __name__ == '__main__':
    run_tool(main)
