"""Images from any folder tree or list file."""

import logging
import os
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from mmengine.logging import print_log
from mmpretrain.registry import DATASETS

from ..errors import InputError
from ..utils.files import escape_name
from ..utils.list_file import PATH, read_list
from .class_names import some_of
from .image_formats.file_search import (
    EXTENSIONS,
    describe_left_out,
    each_once,
    ending_of,
    file_identity,
    files_below,
    is_image,
    real_paths,
)
from .image_formats.known import ARRAYS
from .replacing_dataset import ReplacingDataset
from .storage import reads_local_files

# what may be wrong with the first line of a list: of text, or of a table
_FIRST_LINE = (' (the names of columns, and commas between them, are for a file named .csv)',
               f' (a line with the names of columns must have {PATH!r} in it, and commas)')


@DATASETS.register_module()
class ImageFiles(ReplacingDataset):
    """All images below folders, or those of a list file; labels where there are any.

    The label of an image is its first folder below the root, as in ImageNet's ``train/CLASS/*``;
    the classes are those folders in alphabetical order. In a list file it is the number after the
    path. Pre-training does not look at labels.

    Unreadable images are replaced in pre-training, see :class:`ReplacingDataset`. Both
    ``LoadRGBImage`` and OpenMMLab's ``LoadImageFromFile`` may read the images; the latter refuses
    2**30 pixels (environment variable ``OPENCV_IO_MAX_IMAGE_PIXELS``), and a damaged PNG may cost
    it 4 GiB and seconds.

    Arrays, .npy and .npz, may be labels or features of the images beside them. So they count where
    there are no other images, unless ``extensions`` has them.

    What is left out in a folder, files for their endings and folders that may not be listed, and
    labels of a list that are no whole numbers, is ``left_out`` in words, and a warning in the log.
    A file that several folders lead to, or that a list without labels names again, is taken once;
    how many there were is ``repeated`` in words.

    Args:
        data_root: The folder, or several. Sub-folders are searched, hidden ones and hidden files
            left out; links to folders are followed, each folder once.
        data_prefix: Folder below ``data_root``, such as ``'train'``.
        ann_file: List file (:func:`read_list`) with paths relative to the folder above, and
            optional integer labels. Relative to ``data_root``. Empty for the folder's own images.
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
                 data_root: str | Sequence[str],
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
        self.left_out = self.repeated = ''
        self.extensions = tuple(ext.lower() for ext in extensions or EXTENSIONS)
        roots = [os.path.expanduser(root) for root in (
            [data_root] if isinstance(data_root, str) else data_root)]
        if ann_file and len(roots) > 1:
            raise InputError('a list file has paths relative to one data_root, but there are '
                             f'{len(roots)}')
        self.folders = [os.path.normpath(os.path.join(root, data_prefix)) for root in roots]
        super().__init__(
            data_root=roots[0],
            data_prefix=dict(img_path=data_prefix),
            ann_file=os.path.expanduser(ann_file),
            **kwargs)

    @property
    def folder(self) -> str:
        """The folder the images are in, or the first of several."""
        return self.folders[0]

    def load_data_list(self) -> list[dict]:
        """One dict per image: ``img_path`` and, with ``with_label``, ``gt_label``."""
        if self.ann_file:
            samples = self._read_list()
        else:
            samples = self._scan_folders()
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
            return (f'{path} has no label: its line in {self.ann_file} must end with a whole '
                    'number, also for classes that have names')
        folder, name = self._place(path)
        if os.path.isdir(os.path.join(folder, name)):
            return (f'{path} has no label: its folder {name} is none of metainfo.classes '
                    f'({some_of(self._metainfo["classes"])})')
        return f'{path} has no label: it must lie in a class folder below {folder}'

    def _place(self, path: str) -> tuple[str, str]:
        """The folder that an image was found in, and what lies there on the way to it."""
        folder = next(one for one in self.folders if path.startswith(os.path.join(one, '')))
        return folder, os.path.relpath(path, folder).split(os.sep)[0]

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

    def _scan_folders(self) -> list[dict]:
        self.left_out = self.repeated = ''
        samples = [dict(img_path=path) for folder in self.folders for path in self._scan(folder)]
        if len(self.folders) > 1:
            samples = self._each_once(
                samples, real_paths(sample['img_path'] for sample in samples))
        if self.with_label:
            self._add_labels(samples)
        return samples

    def _add_labels(self, samples: list[dict]) -> None:
        names = []
        for sample in samples:
            folder, name = self._place(sample['img_path'])
            is_folder = os.path.join(folder, name) != sample['img_path']
            names.append(name if is_folder else None)
        self._metainfo.setdefault('classes', tuple(sorted({name for name in names if name})))
        label = {name: i for i, name in enumerate(self._metainfo['classes'])}
        for sample, name in zip(samples, names, strict=True):
            sample['gt_label'] = label.get(name)

    def _scan(self, folder: str) -> list[str]:
        if not os.path.isdir(folder):
            raise InputError(f'no such folder: {folder} (set data_root and data_prefix'
                             f'{_other_spelling(folder)})')
        paths, arrays, others, closed = [], [], Counter(), []
        for parent, files in files_below(folder, closed):
            for file in files:
                if is_image(file, self.extensions):
                    paths.append(os.path.join(parent, file))
                elif not file.startswith('.'):
                    others[ending_of(file)] += 1
                    if is_image(file, ARRAYS.endings):
                        arrays.append(os.path.join(parent, file))
        if not paths and self.extensions == EXTENSIONS:  # then nobody has asked for them
            paths = arrays
            for ending in ARRAYS.endings:
                del others[ending]
        left_out = describe_left_out(others, closed)
        if not paths:
            found = f'; left out: {left_out}' if left_out else ''
            raise InputError(f'no images in {folder}: looked for {" ".join(self.extensions)} '
                             f'there and in all its sub-folders{found}')
        if left_out:
            print_log(f'left out in {folder}: {left_out}', logger='current', level=logging.WARNING)
            place = f' in {folder}' if len(self.folders) > 1 else ''
            self.left_out += f'{"; " * bool(self.left_out)}{left_out}{place}'
        return paths

    def _read_list(self) -> list[dict]:
        if not os.path.isfile(self.ann_file):
            raise InputError(f'no such list file: {self.ann_file}')
        samples, files, no_labels, local = [], [], [], reads_local_files(self)
        listed = read_list(self.ann_file, lambda name: local and os.path.isfile(
            os.path.join(self.folder, name)))
        for line, name, label, other in listed:
            path = os.path.join(self.folder, name)
            files.append(self._file(path, line, not samples) if local else path)
            samples.append(dict(img_path=path, gt_label=label))
            if other:
                no_labels.append(f'{other!r} in line {line}')
        if not samples:
            raise InputError(f'the list file is empty: {self.ann_file}')
        if self.with_label:
            return samples
        self.left_out = self.repeated = ''
        if no_labels:
            self.left_out = (f'labels that are no whole numbers: {len(no_labels):,}, the first '
                             f'{escape_name(no_labels[0])}')
            print_log(f'left out in {self.ann_file}: {self.left_out}', logger='current',
                      level=logging.WARNING)
        return self._each_once(samples, files)

    def _file(self, path: str, line: int, is_first: bool) -> tuple[int, int]:
        """What tells a listed file from all others."""
        if (file := file_identity(path)) is None:
            hint = _FIRST_LINE[self.ann_file.lower().endswith('.csv')] if is_first else ''
            if any('\udc80' <= letter <= '\udcff' for letter in path):  # bytes kept as they are
                hint = ' (the list is not in UTF-8: save it so)'
            raise InputError(
                f'{self.ann_file}, line {line}: no such image: {escape_name(path)}{hint}')
        return file

    def _each_once(self, samples: list[dict], files: Iterable[Hashable]) -> list[dict]:
        kept, self.repeated = each_once(samples, files, lambda sample: sample['img_path'])
        return kept


def _other_spelling(folder: str) -> str:
    above, name = os.path.split(folder)
    names = os.listdir(above) if os.path.isdir(above) else []
    return ''.join(f'; there is {other}' for other in names if other.lower() == name.lower())
