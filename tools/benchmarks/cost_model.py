"""What a pre-training step has to compute, and what a run costs by that; nothing is measured.

The matrix products of a step are counted. Time and price follow from the rate of the GPUs and the
share of it that a step reaches, which are assumptions: bench_step.py measures both.
"""

import argparse
import json

from model_size import count_parameters
from step_variants import Settings, recipe, step_flops

from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool
from conmim_mm.utils.shipped_files import RECIPES

IMAGENET_IMAGES = 1_281_167
H100_TFLOPS = 989.  # NVIDIA's data sheet of the H100 SXM: dense bfloat16


def run_cost(flops_per_image: float, images: int, epochs: int, gpus: int, tflops: float,
             utilisation: float, gpu_hour_price: float | None) -> dict[str, float]:
    """Time and price of a run whose steps are bound by their matrix products.

    Args:
        flops_per_image: Operations of a step per image.
        images: Of the data set.
        epochs: Passes over it.
        gpus: How many work.
        tflops: Rate of one, in 10^12 operations per second.
        utilisation: Share of that rate which a step reaches.
        gpu_hour_price: Of one for an hour, in any currency; or None.

    Returns:
        ``images_per_second`` of all GPUs, ``hours``, ``gpu_hours``, ``exaflop`` of the run and, for
        a price, ``price``.
    """
    per_second = gpus * tflops * 1e12 * utilisation / flops_per_image
    hours = images * epochs / per_second / 3600
    cost = dict(images_per_second=per_second, hours=hours, gpu_hours=hours * gpus,
                exaflop=flops_per_image * images * epochs / 1e18)
    return cost if gpu_hour_price is None else cost | dict(price=hours * gpus * gpu_hour_price)


def modelled_cost(args: argparse.Namespace) -> dict:
    """Everything that is printed."""
    cfg = recipe(Settings(args.arch, args.img_size, 'bfloat16', 'cuda'), args.student)
    if args.img_size % cfg.model.backbone.patch_size:
        raise InputError(f'--img-size must be divisible by {cfg.model.backbone.patch_size}, but is '
                         f'{args.img_size}')
    flops, parameters = step_flops(cfg), count_parameters(cfg)
    return dict(
        arch=args.arch, student=args.student, batch=args.batch, img_size=args.img_size,
        million_parameters=parameters / 1e6,
        # weights, gradients, two moments and the teacher, in float32
        state_gigabytes=5 * 4 * parameters / 1e9,
        tflop={part: args.batch * value / 1e12 for part, value in flops.items()},
        milliseconds=args.batch * sum(flops.values()) / args.tflops / 1e9,
        run=dict(
            epochs=args.epochs, images=args.images, gpus=args.gpus, tflops=args.tflops,
            utilisation=args.utilisation,
            **run_cost(sum(flops.values()), args.images, args.epochs, args.gpus, args.tflops,
                       args.utilisation, args.gpu_hour_price)))


def format_cost(model: dict) -> str:
    """The model as lines of text."""
    run, total = model['run'], sum(model['tflop'].values())
    lines = [
        'A model, not a measurement.',
        '',
        '{arch}, student {student}, {batch} x {img_size} x {img_size}: {million_parameters:.1f} '
        'million parameters in the student, {state_gigabytes:.2f} GB held from step to step '
        '(weights, gradients, moments, teacher)'.format(**model),
        '',
        f'{"matrix products":<24}{"TFLOP":>10}{"share":>8}',
        *(f'{part:<24}{value:>10.3f}{value / total:>8.1%}'
          for part, value in model['tflop'].items()),
        f'{"together":<24}{total:>10.3f}{"":>8}{model["milliseconds"]:>10.1f} ms at '
        f'{run["tflops"]:g} TFLOP/s',
        '',
        '{epochs} epochs of {images:,} images on {gpus} GPUs, {utilisation:.0%} of {tflops:g} '
        'TFLOP/s: {images_per_second:,.0f} images/s, {hours:.1f} hours, {gpu_hours:,.0f} GPU-hours'
        .format(**run)]
    if 'price' in run:
        lines[-1] += f', {run["price"]:,.0f} in all'
    return '\n'.join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', choices=RECIPES['paper'], default='b', help='size of the ViT')
    parser.add_argument('--student', choices=RECIPES, default='paper', help='its form')
    parser.add_argument('--batch', type=int, default=256, help='images per GPU and step')
    parser.add_argument('--img-size', type=int, default=224, help='side of the images, in pixels')
    parser.add_argument('--tflops', type=float, default=H100_TFLOPS,
                        help="rate of a GPU, in TFLOP/s; default: an H100 SXM's dense bfloat16")
    parser.add_argument('--utilisation', type=float, default=0.55,
                        help='share of the rate that a step reaches')
    parser.add_argument('--gpus', type=int, default=8)
    parser.add_argument('--gpu-hour-price', type=float, help='of one GPU for an hour')
    parser.add_argument('--epochs', type=int, default=800)
    parser.add_argument('--images', type=int, default=IMAGENET_IMAGES, help='of the data set')
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    args = parser.parse_args()
    for name in ('batch', 'img_size', 'tflops', 'gpus', 'epochs', 'images'):
        if not getattr(args, name) > 0:
            raise InputError(f'--{name.replace("_", "-")} must be above 0')
    if not 0 < args.utilisation <= 1:
        raise InputError('--utilisation must be above 0 and at most 1')
    if args.gpu_hour_price is not None and args.gpu_hour_price < 0:
        raise InputError('--gpu-hour-price must not be negative')
    return args


def main() -> None:
    args = parse()
    model = modelled_cost(args)
    print(json.dumps(model) if args.json else format_cost(model))


if __name__ == '__main__':
    run_tool(main)
