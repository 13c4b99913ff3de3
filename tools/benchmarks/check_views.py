"""Whether the fast views are distributed as the original's: Pillow and torchvision beside ours.

Every image is cropped and perturbed several times, with the same draws for all: by Pillow and
torchvision from the whole image, by OpenCV from what LoadTwoViews decodes, and by PyTorch for a
batch, as on a GPU. The table shows what each makes of them; levels are grey levels of 0 to 255.
"""

import argparse
import json

import numpy as np
import torch
import torchvision.transforms.functional as F
from data_variants import image_paths
from PIL import Image, ImageFilter, ImageOps

from conmim_mm.datasets import LoadTwoViews, TeacherPerturbation, read_rgb
from conmim_mm.datasets.transforms.perturbation import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    NEVER,
    SATURATION,
    Perturbation,
    perturb,
    perturb_batch,
)
from conmim_mm.datasets.transforms.two_views import random_crop_box
from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool

ADJUSTMENTS = {BRIGHTNESS: F.adjust_brightness, CONTRAST: F.adjust_contrast,
               SATURATION: F.adjust_saturation, HUE: F.adjust_hue}
REFERENCE, WORKERS, DEVICE = 'Pillow and torchvision', 'OpenCV (default)', 'DevicePerturbation'


def reference_crop(path: str, loader: LoadTwoViews, rng: np.random.Generator) -> Image.Image:
    """What the original crops, with the random numbers that the loader would use."""
    image = read_rgb(path)
    flip = rng.random() < loader.flip_prob
    left, top, right, bottom = random_crop_box(image.size, loader.scale, loader.ratio, rng)
    height, width = loader.size
    view = F.resized_crop(image, top, left, bottom - top, right - left, [height, width],
                          F.InterpolationMode.BICUBIC)
    return ImageOps.mirror(view) if flip else view


def reference_perturb(view: Image.Image, drawn: Perturbation) -> np.ndarray:
    """The steps of a perturbation by Pillow and torchvision, as in the original implementation."""
    for kind, factor in drawn.adjustments:
        view = ADJUSTMENTS[kind](view, factor)
    if drawn.grey:
        view = F.to_grayscale(view, num_output_channels=3)
    if drawn.blur:
        view = view.filter(ImageFilter.GaussianBlur(drawn.blur))
    if drawn.solarise < NEVER:
        view = ImageOps.solarize(view, drawn.solarise)
    return np.asarray(view)


def sharpness(views: np.ndarray) -> float:
    """Root mean square of the difference of neighbours, in levels; aliasing would raise it."""
    views = views.astype(np.float32)
    return float(np.sqrt((np.diff(views, axis=2)**2).mean() + (np.diff(views, axis=1)**2).mean()))


def compare_crops(paths: list[str], size: int, draws: int) -> tuple[list[dict], np.ndarray]:
    """Student views of the whole images and of what is decoded, and the latter themselves."""
    loader = LoadTwoViews(size=size, perturbation=None)
    whole, in_part = [], []
    for number, path in enumerate(paths * draws):
        whole.append(np.asarray(reference_crop(path, loader, np.random.default_rng(number))))
        results = loader(dict(img_path=path, rng=np.random.default_rng(number)))
        in_part.append(results['student_view'])
    whole, in_part = np.stack(whole), np.stack(in_part)
    gaps = np.abs(whole.astype(np.float32) - in_part).mean(axis=(1, 2, 3))
    return [
        dict(by='Pillow, whole images', **levels(whole), sharpness=sharpness(whole), gap=0.,
             largest_gap=0.),
        dict(by='LoadTwoViews', **levels(in_part), sharpness=sharpness(in_part),
             gap=float(gaps.mean()), largest_gap=float(gaps.max()))], in_part


def compare_perturbations(views: np.ndarray) -> list[dict]:
    """Teacher views made of the same student views by the same draws."""
    drawing = TeacherPerturbation()
    drawn = [drawing.draw(np.random.default_rng([1, i])) for i in range(len(views))]
    made = {
        REFERENCE: np.stack([reference_perturb(Image.fromarray(np.ascontiguousarray(view)), how)
                             for view, how in zip(views, drawn, strict=True)]),
        WORKERS: np.stack([perturb(view, how) for view, how in zip(views, drawn, strict=True)]),
        DEVICE: np.concatenate([
            on_device(views[i:i + 64], drawn[i:i + 64]) for i in range(0, len(views), 64)])}
    blurred = np.array([how.blur > 0 for how in drawn])
    solarised = np.array([how.solarise < NEVER for how in drawn])
    reference = made[REFERENCE].astype(np.float32)
    return [
        dict(by=by, **levels(of), grey=float((np.ptp(of, axis=3) < 0.5).all(axis=(1, 2)).mean()),
             sharpness_blurred=sharpness(of[blurred]), sharpness_others=sharpness(of[~blurred]),
             mean_solarised=float(of[solarised].mean()),
             gap=float(np.abs(of - reference).mean()),
             gap_not_solarised=float(np.abs(of - reference)[~solarised].mean()))
        for by, of in made.items()]


def on_device(views: np.ndarray, drawn: list[Perturbation]) -> np.ndarray:
    vectors = torch.from_numpy(np.stack([how.to_vector() for how in drawn]))
    batch = torch.from_numpy(np.ascontiguousarray(views)).permute(0, 3, 1, 2).float()
    return perturb_batch(batch, vectors).permute(0, 2, 3, 1).numpy()


def levels(views: np.ndarray) -> dict[str, list[float]]:
    """Mean and standard deviation of red, green and blue over all pixels of all views."""
    return dict(mean=views.mean(axis=(0, 1, 2), dtype=np.float64).tolist(),
                std=views.std(axis=(0, 1, 2), dtype=np.float64).tolist())


def print_rows(title: str, rows: list[dict]) -> None:
    print(title)
    names = list(rows[0])
    for name in names[1:]:
        cells = (
            ' '.join(f'{number:7.3f}' for number in value) if isinstance(value, list)
            else f'{value:.4f}' for value in (row[name] for row in rows))
        print(f'  {name.replace("_", " "):<20}' + ''.join(f'{cell:>26}' for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data_root', metavar='DATA_ROOT', help='folder of JPEG files')
    parser.add_argument('--images', type=int, default=400, help='how many of them')
    parser.add_argument('--draws', type=int, default=2, help='crops of each')
    parser.add_argument('--img-size', type=int, default=224, help='side of the views, in pixels')
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    args = parser.parse_args()
    if min(args.images, args.draws, args.img_size) < 1:
        raise InputError('--images, --draws and --img-size must be at least 1')
    paths = image_paths(args.data_root, args.images)
    crops, views = compare_crops(paths, args.img_size, args.draws)
    teachers = compare_perturbations(views)
    if args.json:
        print(json.dumps(dict(views=len(views), crops=crops, perturbations=teachers)))
        return
    print(f'{len(views)} views of {args.img_size} pixels, of {len(paths)} files')
    for title, rows in (('student views', crops), ('teacher views', teachers)):
        print_rows(f'{title}: ' + ', '.join(row['by'] for row in rows), rows)


if __name__ == '__main__':
    run_tool(main)
