"""Writes a folder of images to tar shards, which TarShards and WebDataset read.

    python tools/dataset_converters/make_shards.py data/imagenet/train data/imagenet-shards/train

The image files are copied as they are, in random order. Folders of classes (CLASS/*), or the
numbers in a list file, become .cls files beside the images.
"""

import argparse
import io
import os
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scenes.processes import map_jobs
from tqdm import tqdm

from conmim_mm.datasets.image_files import ImageFiles
from conmim_mm.datasets.image_formats.file_search import EXTENSIONS, is_image
from conmim_mm.datasets.image_formats.known import ARRAYS
from conmim_mm.datasets.labelled_folder import class_folders
from conmim_mm.datasets.shards.index import LABEL_SUFFIX, cached_index
from conmim_mm.datasets.transforms.loading import describe_read_error
from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool
from conmim_mm.utils.files import folder_written_whole, remove_leftovers

CLASSES_FILE = 'classes.txt'


@dataclass(frozen=True)
class ShardImage:
    """An image on its way into a shard.

    Attributes:
        path: The file.
        name: What it is called in the shard.
        label: None for none.
    """

    path: str
    name: str
    label: int | None

    @property
    def label_name(self) -> str:
        """What the file with its label is called in the shard."""
        return os.path.splitext(self.name)[0] + LABEL_SUFFIX


def images_to_shard(root: str, ann_file: str = '') -> tuple[list[ShardImage], tuple[str, ...]]:
    """Finds images and their labels, as :class:`ImageFiles` does.

    Args:
        root: The folder. If it holds class folders only, they give the labels.
        ann_file: List file of images relative to the folder, with labels or without.

    Returns:
        The images, named by their paths below the folder, and the names of the classes, if known.

    Raises:
        InputError: As ``ImageFiles``; a listed image whose name would not be found in a shard, or
            two labels for one name.
    """
    classes = () if ann_file else class_folders(root)
    found = ImageFiles(
        data_root=root, ann_file=ann_file and os.path.abspath(ann_file),
        with_label=bool(classes), serialize_data=False)
    only_arrays = all(is_image(os.path.basename(info['img_path']), ARRAYS.endings)
                      for info in found.data_list)
    endings = ARRAYS.endings if only_arrays else EXTENSIONS
    images, labels = [], {}
    for info in found.data_list:
        path = info['img_path']
        name = os.path.relpath(path, found.folder)
        if name.startswith(os.pardir + os.sep):
            name = os.path.abspath(path).lstrip(os.sep)
        if not is_image(os.path.basename(name), endings) or f'/{name}'.count('/.'):
            raise InputError(f'TarShards would not find {path}: it is hidden, or its name does not '
                             'end like an image\'s; rename it or take it out of the list')
        image = ShardImage(path, name, info.get('gt_label'))
        first = labels.setdefault(image.label_name, image)
        if first.label != image.label:
            raise InputError(f'{first.path} and {path} would share the file of their label, but '
                             f'have {first.label} and {image.label}: rename one of them')
        images.append(image)
    return images, classes


def write_shards(images: Sequence[ShardImage], out: Path, images_per_shard: int, seed: int = 0,
                 workers: int = 1, classes: Sequence[str] = (),
                 done: Callable[[int], object] = int) -> list[Path]:
    """Writes shuffled images to ``out/images-000000.tar`` and on, with an index beside each.

    The same arguments give the same bytes. The folder appears when all is written.

    Args:
        images: What :func:`images_to_shard` found.
        out: A folder that does not exist, or is empty.
        images_per_shard: At most; the shards are of equal size but for one image.
        seed: Of the order. A batch is made of few shards, so they must not hold one class each.
        workers: Processes. The shards do not depend on their number.
        classes: Written to ``classes.txt``, one a line, for ``metainfo``.
        done: Called with the images of each shard that was written.

    Returns:
        The shards.

    Raises:
        InputError: There is something in ``out``, ``images_per_shard`` or ``workers`` below 1, or a
            file that cannot be read or written.
    """
    for name, value in dict(images_per_shard=images_per_shard, workers=workers).items():
        if value < 1:
            raise InputError(f'{name} must be at least 1, but is {value}')
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f'{out} is there already and will not be written over: give another '
                         'folder, or remove it')
    order = np.random.default_rng(seed).permutation(len(images))
    parts = np.array_split(order, -(-len(images) // images_per_shard))
    remove_leftovers(out.parent, out.name)
    with folder_written_whole(out) as aside:
        aside.mkdir()
        jobs = [(aside / f'images-{number:06d}.tar', [images[index] for index in part])
                for number, part in enumerate(parts)]
        for count in map_jobs(_write_shard, jobs, workers):
            done(count)
        if classes:
            (aside / CLASSES_FILE).write_text('\n'.join(classes) + '\n', encoding='utf-8')
    return [out / path.name for path, _ in jobs]


def _write_shard(job: tuple[Path, list[ShardImage]]) -> int:
    path, images = job
    try:
        with open(path, 'xb') as file:
            with tarfile.open(fileobj=file, mode='w', encoding='utf-8') as tar:
                for image in images:
                    _add(tar, image.name, _read(image.path))
                    if image.label is not None:
                        _add(tar, image.label_name, str(image.label).encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f'cannot write {path}: {describe_read_error(error)}') from error
    cached_index(str(path))
    return len(images)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f'cannot read the image {path}: {describe_read_error(error)}; '
                         'repair it or take it away') from error


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)  # of no time and no owner, so that the bytes are always the same
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', metavar='ROOT', help='folder of images, searched in all depths')
    parser.add_argument('out', metavar='OUT', type=Path, help='folder to make')
    parser.add_argument('--list', default='', metavar='FILE',
                        help='only these images: a path a line, relative to ROOT, and a label')
    parser.add_argument('--images-per-shard', type=int, default=1000, metavar='N',
                        help='at most (default: 1000, of ImageNet 110 MB)')
    parser.add_argument('--seed', type=int, default=0, help='of the order (default: 0)')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1, metavar='W',
                        help='processes (default: one per core); the result does not depend on it')
    args = parser.parse_args()
    images, classes = images_to_shard(args.root, args.list)
    with tqdm(total=len(images), unit=' images', disable=None) as bar:
        shards = write_shards(images, args.out, args.images_per_shard, args.seed, args.workers,
                              classes, bar.update)
    print(f'{args.out}: {len(images)} images'
          f'{f" of {len(classes)} classes" if classes else ""}, '
          f'{shards[0].name} to {shards[-1].name}')


if __name__ == '__main__':
    run_tool(main)
