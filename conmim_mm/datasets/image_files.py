"""Images from any folder tree or list file."""

import logging
import os
from collections import Counter
from collections.abc import Sequence

from mmengine.logging import print_log
from mmpretrain.registry import DATASETS

from ..errors import InputError
from ..utils.files import escape_name
from .class_names import some_of
from .image_formats.known import ARRAYS, PICTURE_ENDINGS, how_to_read
from .replacing_dataset import ReplacingDataset
from .storage import reads_local_files

EXTENSIONS = PICTURE_ENDINGS
NAMED_ENDINGS = 5


def is_image(name: str, extensions: tuple[str, ...] = EXTENSIONS) -> bool:
    """Whether a file of this name counts as an image: by its ending, and not hidden."""
    return name.lower().endswith(extensions) and not name.startswith('.')


@DATASETS.register_module()
class ImageFiles(ReplacingDataset):
    """All images below a folder, or those of a list file; labels where there are any.

    The label of an image is its first folder below the root, as in ImageNet's ``train/CLASS/*``;
    the classes are those folders in alphabetical order. In a list file it is the number after the
    path. Pre-training does not look at labels.

    Unreadable images are replaced in pre-training, see :class:`ReplacingDataset`. Both
    ``LoadRGBImage`` and OpenMMLab's ``LoadImageFromFile`` may read the images; the latter refuses
    2**30 pixels (environment variable ``OPENCV_IO_MAX_IMAGE_PIXELS``), and a damaged PNG may cost
    it 4 GiB and seconds.

    Arrays, .npy and .npz, may be labels or features of the images beside them. So they count where
    there are no other images, unless ``extensions`` has them.

    What is left out in a folder, files for their endings and folders that may not be listed, is
    ``left_out`` in words, and a warning in the log.

    Args:
        data_root: The folder. Sub-folders are searched, hidden ones and hidden files left out;
            links to folders are followed, each folder once.
        data_prefix: Folder below ``data_root``, such as ``'train'``.
        ann_file: List file: a path per line, relative to the folder above, with an optional integer
            label after it, separated by a tab or a space. Empty lines are skipped. Relative to
            ``data_root``. Empty for the folder's own images.
        with_label: Give each sample its ``gt_label``, and fail if there is none.
        images_per_class: Only so many of each class, the first ones; with ``with_label``.
        extensions: Which files count as images; case does not matter. By default those of all
            formats that are installed here.
        **kwargs: As in :class:`mmengine.dataset.BaseDataset`.

    Raises:
        InputError: No such folder or list, no image in it, a listed file that does not exist, a
            missing label, a class with fewer images than asked for.
        UnreadableImageError: With an index, as ``ReplacingDataset``.
    """

    def __init__(self,
                 data_root: str,
                 data_prefix: str = '',
                 ann_file: str = '',
                 with_label: bool = False,
                 images_per_class: int | None = None,
                 extensions: tuple[str, ...] | None = None,
                 **kwargs) -> None:
        self.with_label = with_label
        if images_per_class is not None and not with_label:
            raise InputError('images_per_class needs with_label=True')
        self.images_per_class = images_per_class
        self.left_out = ''
        self.extensions = tuple(ext.lower() for ext in extensions or EXTENSIONS)
        super().__init__(
            data_root=os.path.expanduser(data_root),
            data_prefix=dict(img_path=data_prefix),
            ann_file=os.path.expanduser(ann_file),
            **kwargs)

    @property
    def folder(self) -> str:
        """The folder the images are in."""
        return os.path.normpath(self.data_prefix['img_path'])

    def load_data_list(self) -> list[dict]:
        """One dict per image: ``img_path`` and, with ``with_label``, ``gt_label``."""
        if self.ann_file:
            samples = self._read_list()
        elif os.path.isdir(self.folder):
            samples = self._scan_folder()
        else:
            raise InputError(f'no such folder: {self.folder} (set data_root and data_prefix'
                             f'{_other_spelling(self.folder)})')
        if self.with_label:
            for sample in samples:
                if sample.get('gt_label') is None:
                    raise InputError(self._why_no_label(sample['img_path']))
        return samples if self.images_per_class is None else self._first_of_each_class(samples)

    def use_classes(self, classes: Sequence[str]) -> None:
        """Labels the folders' images by the places of these names, not of the folders' own.

        Raises:
            InputError: A folder has none of the names.
        """
        self._metainfo['classes'] = tuple(classes)
        self._fully_initialized = False
        self.full_init()

    def _why_no_label(self, path: str) -> str:
        if self.ann_file:
            return f'{path} has no label: its line in {self.ann_file} must end with a number'
        name = os.path.relpath(path, self.folder).split(os.sep)[0]
        if os.path.isdir(os.path.join(self.folder, name)):
            return (f'{path} has no label: its folder {name} is none of metainfo.classes '
                    f'({some_of(self._metainfo["classes"])})')
        return f'{path} has no label: it must lie in a class folder below {self.folder}'

    def _first_of_each_class(self, samples: list[dict]) -> list[dict]:
        taken = Counter()
        chosen = []
        for sample in samples:
            if taken[sample['gt_label']] < self.images_per_class:
                taken[sample['gt_label']] += 1
                chosen.append(sample)
        few = [label for label, count in sorted(taken.items()) if count < self.images_per_class]
        if few:
            raise InputError(f'class {few[0]} in {self.folder} has only {taken[few[0]]} images; '
                             f'images_per_class asks for {self.images_per_class}')
        return chosen

    def _scan_folder(self) -> list[dict]:
        paths, arrays, others, closed = [], [], Counter(), []
        visited = {os.path.realpath(self.folder)}
        for parent, folders, files in os.walk(self.folder, onerror=closed.append, followlinks=True):
            # Links may lead in circles; hidden folders hold thumbnails and the like.
            folders[:] = [
                name for name in sorted(folders) if not name.startswith('.')
                and (place := os.path.realpath(os.path.join(parent, name))) not in visited
                and not visited.add(place)
            ]
            for file in sorted(files):
                if is_image(file, self.extensions):
                    paths.append(os.path.join(parent, file))
                elif not file.startswith('.'):
                    others[os.path.splitext(file)[1].lower()] += 1
                    if is_image(file, ARRAYS.endings):
                        arrays.append(os.path.join(parent, file))
        if not paths and self.extensions == EXTENSIONS:  # then nobody has asked for them
            paths = arrays
            for ending in ARRAYS.endings:
                del others[ending]
        self.left_out = describe_left_out(others, closed)
        if not paths:
            found = f'; left out: {self.left_out}' if self.left_out else ''
            raise InputError(f'no images in {self.folder}: looked for {" ".join(self.extensions)} '
                             f'there and in all its sub-folders{found}')
        if self.left_out:
            print_log(f'left out in {self.folder}: {self.left_out}', logger='current',
                      level=logging.WARNING)
        if not self.with_label:
            return [dict(img_path=path) for path in paths]

        classes = [os.path.relpath(path, self.folder).split(os.sep)[:-1][:1] for path in paths]
        names = sorted({name for below in classes for name in below})
        self._metainfo.setdefault('classes', tuple(names))
        label = {name: i for i, name in enumerate(self._metainfo['classes'])}
        return [
            dict(img_path=path, gt_label=label.get(below[0]) if below else None)
            for path, below in zip(paths, classes, strict=True)
        ]

    def _read_list(self) -> list[dict]:
        if not os.path.isfile(self.ann_file):
            raise InputError(f'no such list file: {self.ann_file}')
        samples, local = [], reads_local_files(self)
        with open(self.ann_file, encoding='utf-8-sig') as lines:
            for number, line in enumerate(map(str.strip, lines), start=1):
                if not line:
                    continue
                name, label = _split_label(line)
                path = os.path.join(self.folder, name)
                if local and not os.path.isfile(path):
                    raise InputError(f'{self.ann_file}, line {number}: no such image: {path}')
                samples.append(dict(img_path=path, gt_label=label))
        if not samples:
            raise InputError(f'the list file is empty: {self.ann_file}')
        return samples


def describe_left_out(endings: Counter, closed: Sequence[OSError]) -> str:
    """In one line what of a folder is not among its images; empty if that is nothing.

    Args:
        endings: How many files there are of each.
        closed: Of each folder that cannot be listed.
    """
    parts = [f'{count:,} {ending or "without an ending"}'
             + f' ({how_to_read(ending)} for these)' * bool(how_to_read(ending))
             for ending, count in endings.most_common(NAMED_ENDINGS)]
    if len(endings) > NAMED_ENDINGS:
        parts.append(f'{endings.total():,} files in all')
    if closed:
        first = closed[0]
        more = ', ...' if len(closed) > 1 else ''
        parts.append(f'{len(closed):,} folder{"s" * (len(closed) > 1)} that cannot be listed '
                     f'({first.filename}: {first.strerror}{more})')
    return ', '.join(escape_name(part) for part in parts)


def _other_spelling(folder: str) -> str:
    above, name = os.path.split(folder)
    names = os.listdir(above) if os.path.isdir(above) else []
    return ''.join(f'; there is {other}' for other in names if other.lower() == name.lower())


def _split_label(line: str) -> tuple[str, int | None]:
    head, _, tail = line.replace('\t', ' ').rpartition(' ')
    return (head.strip(), int(tail)) if head and tail.isdecimal() else (line, None)
