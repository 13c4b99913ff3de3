"""Draws loss and hit rate of a pre-training run, each beside chance."""

import argparse
import math
from pathlib import Path

from mmengine.config import Config

from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool
from conmim_mm.utils.files import check_place
from conmim_mm.utils.sizes import divide_size, to_size
from conmim_mm.visualization import draw_learning_curve, read_scalars


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', type=Path, help="the run's folder")
    parser.add_argument('--out', type=Path, help='picture to write; default: '
                        'WORK_DIR/learning_curve.png')
    parser.add_argument('--title', help='heading; default: the name of the folder')
    args = parser.parse_args()

    out = args.out or args.work_dir / 'learning_curve.png'
    configs = sorted(args.work_dir.glob('*.py'))
    if not configs:
        raise InputError(f'no pre-training run (no saved config) in {args.work_dir}')
    check_place(out)
    backbone = Config.fromfile(configs[0]).model.backbone
    grid = divide_size(to_size(backbone.img_size), backbone.patch_size, 'img_size', 'patch_size')
    num_patches = math.prod(grid)
    try:
        scalars = read_scalars(args.work_dir)
    except FileNotFoundError as error:
        raise InputError(str(error)) from None
    out.parent.mkdir(parents=True, exist_ok=True)
    draw_learning_curve(scalars, num_patches, out, args.title or args.work_dir.resolve().name)
    last = scalars[-1]
    print(f'step {last["step"]}: loss {last["loss"]:.2f} (chance {math.log(num_patches):.2f}), '
          f'hit rate {last["hit_rate"]:.3f} (chance {1 / num_patches:.3f})\nwrote {out}')


if __name__ == '__main__':
    run_tool(main)
