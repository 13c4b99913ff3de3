"""What the model is fed: both views of a few images, and what the mask leaves of them."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import default_collate
from mmengine.model import BaseDataPreprocessor
from PIL import Image
from torch.utils.data import Dataset

from ..datasets.sample_rng import SampleIndex
from ..utils.random_state import keeping_random_state
from ..visualization.explain import Picture
from .progress import FOLDER, PICTURES, SAMPLES, write_json

HIDDEN_GREYS, HIDDEN_SHARE = (150, 90), 0.85  # stripes, below which there stays a trace
STRIPE, PERIOD = 2, 8  # pixels
VIEWS = ('student', 'teacher', 'masked')


@torch.no_grad()
def sample_inputs(dataset: Dataset, preprocessor: BaseDataPreprocessor, count: int,
                  seed: int) -> tuple[dict[str, torch.Tensor], list[str]] | None:
    """Some images of a data set, evenly spread over it, as the model gets them.

    Args:
        dataset: With its pipeline. Images that cannot be read are replaced, as in training.
        preprocessor: The model's.
        count: How many images at most.
        seed: Of the run.

    Returns:
        ``student_view`` and ``teacher_view``, ``(B, 3, H, W)`` normalised, and ``mask``, ``(B, L)``
        bool, on the preprocessor's device; and the images' paths. None for a data set of another
        task.
    """
    with keeping_random_state():
        samples = []
        number = min(count, len(dataset))
        if number == 0:
            return None
        for index in range(number):
            sample = dataset[SampleIndex(index * len(dataset) // number, seed)]
            if not _is_pair(sample):
                return None
            samples.append(sample)
        inputs = preprocessor(default_collate(samples))['inputs']
    paths = [str(sample['data_samples'].get('img_path') or '') for sample in samples]
    return inputs, paths


def _is_pair(sample: object) -> bool:
    inputs = sample.get('inputs') if isinstance(sample, dict) else None
    return isinstance(inputs, dict) and {'student_view', 'mask'} <= inputs.keys()


def write_samples(work_dir: Path, inputs: dict[str, torch.Tensor], paths: list[str],
                  preprocessor: BaseDataPreprocessor) -> None:
    """Writes the views as pictures into the report folder, and their list.

    Args:
        work_dir: Folder of the run.
        inputs: Of :func:`sample_inputs`.
        paths: Of :func:`sample_inputs`.
        preprocessor: That made ``inputs``.
    """
    folder = work_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    students, teachers = (_levels(inputs[f'{view}_view'], preprocessor)
                          for view in ('student', 'teacher'))
    entries = []
    for number, (student, teacher, mask, path) in enumerate(
            zip(students, teachers, inputs['mask'].cpu().numpy(), paths, strict=True)):
        files = {}
        for view, picture in zip(VIEWS, (student, teacher, hide(student, mask)), strict=True):
            files[view] = f'sample_{number}_{view}.png'
            Image.fromarray(picture).save(folder / files[view])
        entries.append(dict(path=path, files=files, hidden=float(mask.mean()),
                            num_patches=mask.size))
    write_json(work_dir, SAMPLES, entries)


def _levels(images: torch.Tensor, preprocessor: BaseDataPreprocessor) -> np.ndarray:
    """Normalised images as ``(B, H, W, 3)`` uint8."""
    if getattr(preprocessor, 'normalises', False):
        images = images * preprocessor.std + preprocessor.mean
    return images.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


def hide(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An image with its masked patches striped grey.

    Args:
        image: ``(H, W, 3)`` uint8.
        mask: ``(L,)`` bool, True = masked, of square patches row by row.
    """
    height, width = image.shape[:2]
    side = round(math.sqrt(height * width / mask.size))
    grid = mask.reshape(height // side, width // side)
    hidden = grid.repeat(side, axis=0).repeat(side, axis=1)
    diagonal = np.add.outer(np.arange(height), np.arange(width)) % PERIOD
    stripes = np.where(diagonal < STRIPE, HIDDEN_GREYS[1], HIDDEN_GREYS[0])[hidden, None]
    shown = image.astype(np.float32)
    shown[hidden] += HIDDEN_SHARE * (stripes - shown[hidden])
    return shown.round().astype(np.uint8)


def write_pictures(work_dir: Path, pictures: Sequence[Picture], iteration: int) -> None:
    """Writes pictures into the report folder, in the place of those before.

    Args:
        work_dir: Folder of the run.
        pictures: In the order in which the report shows them.
        iteration: Iterations done when they were made.
    """
    folder = work_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, picture in enumerate(pictures):
        name = f'picture_{number}_{re.sub(r"[^a-z0-9_]+", "_", picture.name.lower())}.png'
        aside = folder / f'{name}.tmp'
        Image.fromarray(picture.image).save(aside, 'PNG')
        aside.replace(folder / name)
        entries.append(dict(title=picture.title, caption=picture.caption, file=name,
                            step=iteration))
    write_json(work_dir, PICTURES, entries)
    listed = {entry['file'] for entry in entries}
    for path in folder.glob('picture_*.png'):
        if path.name not in listed:
            path.unlink()
