"""Pictures that explain the model, kept for the report."""

import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..visualization.picture import Picture
from .files import FOLDER, PICTURES, write_json


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
