"""The features of a folder of images, in a file."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmpretrain.registry import DATASETS
from tqdm import tqdm

from ..datasets.labelled_folder import class_names, evaluation_pipeline
from ..errors import InputError
from ..evaluation.features import image_features
from ..utils.files import check_new, remove_leftovers, written_whole
from ..utils.sizes import short_size
from .backbone import frozen_backbone, num_workers

ROWS = 8192  # of a parquet row group


class EmbeddedImages(NamedTuple):
    """What :func:`embed` has written.

    Attributes:
        path: The file.
        num_images: In it.
        width: Numbers of a feature.
        with_labels: Whether the folders were classes.
        unreadable: Path and reason of each image that was left out.
    """

    path: Path
    num_images: int
    width: int
    with_labels: bool
    unreadable: list[tuple[str, str]]


def embed(checkpoint: str | Path, data: str | Path, out: str | Path, *, weights: str = 'teacher',
          img_size: int | Sequence[int] | None = None, batch_size: int = 64,
          workers: int | None = None, overwrite: bool = False, progress: bool = False
          ) -> EmbeddedImages:
    """Writes the features of a folder of images to a file.

    Images that can't be read are left out.

    Args:
        checkpoint: Of a pre-training or a task, or an extracted backbone; a run's folder for its
            last one.
        data: Folder of images, with any sub-folders.
        out: Ends in ``.npz`` (arrays ``features`` ``(N, C)``, ``paths`` and, of classes,
            ``labels``) or ``.parquet``.
        weights: ``'teacher'`` or ``'student'``, whose to take from a pre-training checkpoint.
        img_size: Side of the images, in pixels, or ``(height, width)``; by default as the backbone
            was trained.
        batch_size: Images at once.
        workers: Processes that read images; by default one per core, at most 16.
        overwrite: Replace the file if it exists.
        progress: Show a bar on a terminal.

    Raises:
        InputError: No images, none that can be read, no backbone, or no place for the file.
    """
    data, out = Path(data), Path(out)
    check_feature_file(out, overwrite)
    if not data.is_dir():
        raise InputError(f'no such folder: {data}')
    frozen = frozen_backbone(checkpoint, weights, img_size)
    dataset = DATASETS.build(dict(
        type='ImageFiles', data_root=str(data),
        pipeline=evaluation_pipeline(frozen.img_size, frozen.reading)))
    paths = [os.path.relpath(dataset.get_data_info(i)['img_path'], data)
             for i in range(len(dataset))]
    labels = class_names(str(data), paths)
    about = dict(checkpoint=str(checkpoint), weights=weights,
                 img_size=str(short_size(frozen.img_size)), data=str(data),
                 reading=json.dumps(frozen.reading.keys()))
    width, unreadable = frozen.backbone.embed_dims, []
    batches = image_features(frozen.backbone, dataset, frozen.preprocessor, batch_size,
                             num_workers(workers))
    with open_feature_file(out, width, bool(labels), about) as file, \
            tqdm(total=len(paths), unit='image', disable=None if progress else True) as bar:
        for batch in batches:
            file.add(batch.features.numpy(), [paths[i] for i in batch.indices],
                     [labels[i] for i in batch.indices] if labels else None)
            unreadable += [(paths[i], error.reason) for i, error in batch.unreadable]
            bar.update(len(batch.indices) + len(batch.unreadable))
        if len(unreadable) == len(paths):
            raise InputError(f'none of the {len(paths)} images in {data} can be read: '
                             f'{unreadable[0][0]}: {unreadable[0][1]}')
    return EmbeddedImages(out, len(paths) - len(unreadable), width, bool(labels), unreadable)


def check_feature_file(out: Path, overwrite: bool) -> None:
    """Looks at the name before anything takes time.

    Raises:
        InputError: Not a name for features, or a file that is there already.
    """
    if out.suffix not in FEATURE_FILES:
        raise InputError(f'--out {out} must end in {" or ".join(FEATURE_FILES)}')
    check_new(out, overwrite)


@contextmanager
def open_feature_file(path: Path, width: int, with_labels: bool,
                      about: dict[str, str]) -> Iterator['NpzFile | ParquetFile']:
    """A file that appears under its name once all is written.

    Args:
        path: Its ending is the format.
        width: Numbers of a feature.
        with_labels: Whether rows have labels.
        about: What else to say of them all.

    Raises:
        InputError: It can't be written, or pyarrow is missing.
    """
    kind = FEATURE_FILES[path.suffix]
    remove_leftovers(path.parent, path.name)
    with written_whole(path, durable=True) as aside:
        file = kind(aside, width, with_labels, about)
        yield file
        file.close()


class NpzFile:
    """Arrays ``features`` ``(N, C)`` float32, ``paths`` and ``labels`` ``(N,)``, and facts."""

    def __init__(self, path: Path, width: int, with_labels: bool, about: dict[str, str]) -> None:
        self.path, self.about = path, about
        self.rows: list[tuple[np.ndarray, Sequence[str], Sequence[str] | None]] = []

    def add(self, features: np.ndarray, paths: Sequence[str],
            labels: Sequence[str] | None) -> None:
        """Adds rows."""
        self.rows.append((features, paths, labels))

    def close(self) -> None:
        """Writes them."""
        arrays = dict(zip(('features', 'paths', 'labels'), self.take_rows(), strict=False))
        with self.path.open('wb') as file:
            np.savez(file, **arrays, **self.about)

    def take_rows(self) -> list[np.ndarray]:
        """Features, paths and, of classes, labels of the rows that are not written yet."""
        (features, *names), self.rows = zip(*self.rows, strict=True), []
        return [np.concatenate(features),
                *(np.array(list(chain(*parts)), str) for parts in names if parts[0] is not None)]


class ParquetFile(NpzFile):
    """Columns ``path``, ``label`` and ``features``, lists of C floats; facts in the metadata."""

    def __init__(self, path: Path, width: int, with_labels: bool, about: dict[str, str]) -> None:
        super().__init__(path, width, with_labels, about)
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError:
            raise InputError('a .parquet file needs pyarrow: pip install pyarrow (or give a .npz '
                             'file, which needs nothing)') from None
        self.arrow, self.width = pa, width
        columns = [('path', pa.string()), *[('label', pa.string())] * with_labels,
                   ('features', pa.list_(pa.float32(), width))]
        facts = {key: as_utf8(value) for key, value in about.items()}
        self.file = path.open('wb')  # a name of any bytes pyarrow cannot open
        self.writer = parquet.ParquetWriter(self.file, pa.schema(columns, metadata=facts))

    def add(self, features: np.ndarray, paths: Sequence[str],
            labels: Sequence[str] | None) -> None:
        """Adds rows, and writes a group of them when there are enough."""
        super().add(features, paths, labels)
        if sum(len(paths) for _, paths, _ in self.rows) >= ROWS:
            self._write()

    def close(self) -> None:
        """Writes the rest."""
        if self.rows:
            self._write()
        self.writer.close()
        self.file.close()

    def _write(self) -> None:
        features, *names = self.take_rows()
        values = self.arrow.array(features.ravel(), self.arrow.float32())
        names = [[as_utf8(name) for name in column] for column in names]
        columns = [*names, self.arrow.FixedSizeListArray.from_arrays(values, self.width)]
        self.writer.write_table(self.arrow.table(columns, schema=self.writer.schema))


def as_utf8(name: str) -> str:
    """The name of a file as text that can be written; bytes that are no UTF-8 as escapes."""
    return name.encode('utf-8', 'backslashreplace').decode('utf-8')


FEATURE_FILES = {'.npz': NpzFile, '.parquet': ParquetFile}
