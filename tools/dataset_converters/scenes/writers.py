"""Writes the generated data set in the ImageNet, ADE20K and COCO layouts."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from conmim_mm.errors import InputError
from conmim_mm.utils.files import write_text

from . import coco, layout
from .compose import SPLITS, classification_image, scene_image
from .layout import SceneSettings
from .processes import map_jobs

_CHUNK = 32
_QUALITY = 92
# Written first, removed last: a folder with it and without meta.json was not finished.
_UNFINISHED = 'meta.json.unfinished'

# (output folder, settings, kind, split, first index, end index)
_Job = tuple[Path, SceneSettings, str, str, int, int]


def _jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, 'JPEG', quality=_QUALITY)
    return buffer.getvalue()


def _write_scene(out: Path, settings: SceneSettings, split: str, index: int) -> list[dict]:
    scene = scene_image(settings.seed, split, index, settings.size)
    data = _jpeg(scene.image)
    layout.ade_image(out, split, index).write_bytes(data)
    layout.coco_image(out, split, index).write_bytes(data)
    # Value 1 is the background, k + 2 the class number k.
    values = np.array([1, *(label + 2 for label in scene.labels)], np.uint8)
    Image.fromarray(values[scene.instances]).save(layout.ade_map(out, split, index))
    return coco.annotations(layout.scene_id(index), scene)


def _run_job(job: _Job) -> list[dict]:
    """Write one chunk of pictures; give back its annotations."""
    out, settings, kind, split, first, end = job
    # The pool already uses every core; nested threads would only fight.
    cv2.setNumThreads(0)
    entries: list[dict] = []
    for index in range(first, end):
        if kind == 'classification':
            image = classification_image(settings.seed, split, index, settings.size)
            layout.class_image(out, split, index).write_bytes(_jpeg(image))
        else:
            entries += _write_scene(out, settings, split, index)
    return entries


def _jobs(out: Path, settings: SceneSettings) -> list[_Job]:
    jobs = []
    for kind in layout.KINDS:
        for split in SPLITS:
            count = settings.count(kind, split)
            jobs += [
                (out, settings, kind, split, first, min(first + _CHUNK, count))
                for first in range(0, count, _CHUNK)
            ]
    return jobs


def _is_complete(out: Path, settings: SceneSettings) -> bool:
    """Whether ``out`` holds this very data set; an error if it holds anything else."""
    if not out.exists():
        return False
    advice = 'remove it or choose another folder'
    if not out.is_dir():
        raise InputError(f'{out} is not a folder; {advice}')
    if not any(out.iterdir()):
        return False
    finished = out / 'meta.json'
    meta_file = finished if finished.exists() else out / _UNFINISHED
    try:
        found = json.loads(meta_file.read_text(encoding='utf-8'))
        version = found['generator_version']
    except (OSError, ValueError, TypeError, KeyError):
        raise InputError(f'{out} holds something other than generated scenes; {advice}') from None
    wanted = settings.meta()
    if any(found.get(key) != value for key, value in wanted.items()):
        had = ', '.join(f'{key} {found.get(key)}' for key in ('images', 'val', 'size', 'seed'))
        raise InputError(
            f'{out} holds scenes of other settings ({had}, version {version}); {advice}'
        )
    return finished.exists() and all(path.exists() for path in layout.all_files(out, settings))


def make_scenes(
    out: str | os.PathLike,
    settings: SceneSettings,
    workers: int = 1,
    done: Callable[[int], object] = int,
) -> bool:
    """Write the generated data set into a folder.

    The same settings give the same bytes, whatever the number of workers (with the same versions
    of NumPy, OpenCV and Pillow). Picture n does not depend on how many there are. An interrupted
    or damaged data set of the same settings is written anew.

    Args:
        out: the folder; made if it is not there.
        settings: what to write.
        workers: processes to use; 1 is this process alone.
        done: called with the pictures of each part that was written.

    Returns:
        True if the data set was written, False if it was there already.

    Raises:
        InputError: ``out`` holds something else, or ``workers`` is not positive.
    """
    out = Path(out)
    if workers < 1:
        raise InputError(f'workers must be at least 1, got {workers}')
    if _is_complete(out, settings):
        return False
    try:
        for folder in sorted({path.parent for path in layout.all_files(out, settings)}):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'cannot make {error.filename}: {error.strerror}') from None
    (out / 'meta.json').unlink(missing_ok=True)
    unfinished = out / _UNFINISHED
    write_text(unfinished, json.dumps(settings.meta(), indent=2) + '\n')

    jobs = _jobs(out, settings)
    entries: dict[str, list[dict]] = {split: [] for split in SPLITS}
    for (*_, split, first, end), found in zip(jobs, map_jobs(_run_job, jobs, workers), strict=True):
        entries[split] += found
        done(end - first)

    for split in SPLITS:
        images = [
            coco.image_entry(
                layout.scene_id(i), layout.coco_image(out, split, i).name, settings.size
            )
            for i in range(settings.count('scene', split))
        ]
        document = coco.document(images, entries[split], layout.GENERATOR_VERSION)
        write_text(layout.coco_annotations(out, split), json.dumps(document))
    unfinished.rename(out / 'meta.json')
    return True
