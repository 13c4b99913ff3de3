"""What the model is fed: both views of a few images, and what the mask leaves of them."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.dataset import default_collate
from torch.utils.data import Dataset

from ..datasets.sample_rng import SampleIndex
from ..models.data_preprocessors.conmim_data_preprocessor import ConMIMDataPreprocessor
from ..utils.random_state import keeping_random_state
from ..visualization.explain import Picture
from ..visualization.holes import cut_holes
from ..visualization.sheet import describe_bands, save_picture, to_pixels
from .progress import FOLDER, PICTURES, SAMPLES, write_json

VIEWS = ('student', 'teacher', 'masked')


@torch.no_grad()
def sample_inputs(dataset: Dataset, preprocessor: ConMIMDataPreprocessor, count: int,
                  seed: int) -> tuple[dict[str, torch.Tensor], list[str]] | None:
    """Some images of a data set, evenly spread over it, as the model gets them.

    Args:
        dataset: With its pipeline. Images that cannot be read are replaced, as in training.
        preprocessor: The model's.
        count: How many images at most.
        seed: Of the run.

    Returns:
        ``student_view`` and ``teacher_view``, ``(B, C, H, W)`` normalised, and ``mask``, ``(B, L)``
        bool, the first of each image's, on the preprocessor's device; and the images' paths. None
        for a data set of another task.
    """
    with keeping_random_state():
        samples = []
        number = min(count, len(dataset))
        if number == 0:
            return None
        for index in range(number):
            sample = dataset[SampleIndex(index * len(dataset) // number, seed)]
            match sample:
                case {'inputs': {'student_view': _, 'mask': _}}:
                    samples.append(sample)
                case _:
                    return None
        inputs = preprocessor(default_collate(samples))['inputs']
        inputs['mask'] = inputs['mask'].view(number, -1, inputs['mask'].shape[-1])[:, 0]
    paths = [str(sample['data_samples'].get('img_path') or '') for sample in samples]
    return inputs, paths


def write_samples(work_dir: Path, inputs: dict[str, torch.Tensor], paths: list[str],
                  preprocessor: ConMIMDataPreprocessor) -> None:
    """Writes the views as pictures into the report folder, and their list.

    Args:
        work_dir: Folder of the run.
        inputs: Of :func:`sample_inputs`.
        paths: Of :func:`sample_inputs`.
        preprocessor: That made ``inputs``.
    """
    students, teachers = (to_pixels(inputs[f'{view}_view'], preprocessor)
                          for view in ('student', 'teacher'))
    entries, bands = [], describe_bands(preprocessor, inputs['student_view'].shape[1])
    for number, (student, teacher, mask, path) in enumerate(
            zip(students, teachers, inputs['mask'].cpu().numpy(), paths, strict=True)):
        files, (height, width) = {}, student.shape[:2]
        side = round(math.sqrt(height * width / mask.size))  # of a patch
        pictures = student, teacher, cut_holes(student, mask, (height // side, width // side))
        for view, picture in zip(VIEWS, pictures, strict=True):
            files[view] = f'sample_{number}_{view}.png'
            save_picture(picture, work_dir / FOLDER / files[view])
        entries.append(dict(path=path, files=files, hidden=float(mask.mean()),
                            num_patches=mask.size, bands=bands))
    write_json(work_dir, SAMPLES, entries)


def write_pictures(work_dir: Path, pictures: Sequence[Picture], iteration: int) -> None:
    """Writes pictures into the report folder, in the place of those before.

    Args:
        work_dir: Folder of the run.
        pictures: In the order in which the report shows them.
        iteration: Iterations done when they were made.
    """
    folder = work_dir / FOLDER
    entries = []
    for number, picture in enumerate(pictures):
        name = f'picture_{number}_{re.sub(r"[^a-z0-9_]+", "_", picture.name.lower())}.png'
        save_picture(picture.image, folder / name)
        entries.append(dict(title=picture.title, caption=picture.caption, file=name,
                            step=iteration))
    write_json(work_dir, PICTURES, entries)
    listed = {entry['file'] for entry in entries}
    for path in folder.glob('picture_*.png'):
        if path.name not in listed:
            path.unlink()
