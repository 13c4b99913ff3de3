"""``conmim embed``: the features of a folder of images, in a file."""

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from mmpretrain.registry import DATASETS
from tqdm import tqdm

from ..commands.arguments import FEATURE_FILES
from ..datasets.labelled_folder import evaluation_pipeline, find_labelled_split
from ..errors import InputError
from ..evaluation.image_features import image_features
from ..utils.files import check_place, remove_leftovers, written_whole
from .backbone import frozen_backbone, num_workers

MAX_NAMED = 10  # unreadable images

ROWS = 8192  # of a parquet row group


def run(args: argparse.Namespace) -> None:
    """Writes the file.

    Images that can't be read are left out, named and counted.

    Raises:
        InputError: No images, none that can be read, no backbone, or no place for the file.
    """
    check_target(args.out, args.overwrite)
    if not args.data.is_dir():
        raise InputError(f'no such folder: {args.data}')
    frozen = frozen_backbone(args)
    dataset = DATASETS.build(dict(
        type='ImageFiles', data_root=str(args.data),
        pipeline=evaluation_pipeline(frozen.img_size)))
    paths = [os.path.relpath(dataset.get_data_info(i)['img_path'], args.data)
             for i in range(len(dataset))]
    labels = read_labels(args.data, paths)
    about = dict(checkpoint=str(args.checkpoint), weights=args.weights,
                 img_size=str(frozen.img_size), data=str(args.data))
    unreadable = []
    batches = image_features(frozen.backbone, dataset, frozen.preprocessor, args.batch_size,
                             num_workers(args))
    with open_feature_file(args.out, frozen.backbone.embed_dims, bool(labels), about) as file, \
            tqdm(total=len(paths), unit='image', disable=None) as bar:
        for batch in batches:
            file.add(batch.features, [paths[i] for i in batch.indices],
                     [labels[i] for i in batch.indices] if labels else None)
            unreadable += [(paths[i], reason) for i, reason in batch.unreadable]
            bar.update(len(batch.indices) + len(batch.unreadable))
        if len(unreadable) == len(paths):
            raise InputError(f'none of the {len(paths)} images in {args.data} can be read: '
                             f'{unreadable[0][0]}: {unreadable[0][1]}')
    print(f'wrote {args.out}: {len(paths) - len(unreadable):,} images x '
          f'{frozen.backbone.embed_dims} features' + (', with labels' if labels else ''))
    if unreadable:
        print(f'left out {len(unreadable):,} that cannot be read:')
        for path, reason in unreadable[:MAX_NAMED]:
            print(f'  {path}: {reason}')
        if len(unreadable) > MAX_NAMED:
            print(f'  and {len(unreadable) - MAX_NAMED:,} more')


def check_target(out: Path, overwrite: bool) -> None:
    """Looks at the name before anything takes time.

    Raises:
        InputError: Not a name for features, or a file that is there already.
    """
    if out.suffix not in FEATURE_FILES:
        raise InputError(f'--out {out} must end in {" or ".join(FEATURE_FILES)}')
    if out.is_dir():
        raise InputError(f'--out {out} is a folder')
    if out.exists() and not overwrite:
        raise InputError(f'{out} exists already: add --overwrite to replace it, or choose another '
                         '--out')
    check_place(out)


def read_labels(folder: Path, paths: list[str]) -> list[str]:
    """The class of each image by its folder; empty where the folders are no classes.

    Args:
        folder: The folder of images.
        paths: Relative to it.
    """
    split = find_labelled_split(str(folder))
    if split is None:
        return []
    above = {part.get('data_prefix', '') for part in (split.train, split.held_out)} - {''}
    labels = []
    for path in paths:
        *folders, _ = Path(path).parts
        if above:  # train/ and val/
            folders = folders[1:] if folders and folders[0] in above else []
        labels.append(folders[0] if folders and folders[0] in split.classes else '')
    return labels


class FeatureFile(Protocol):
    """What takes features, paths and labels batch by batch."""

    def add(self, features: np.ndarray, paths: Sequence[str],
            labels: Sequence[str] | None) -> None:
        """Adds rows."""

    def close(self) -> None:
        """Writes what is left."""


@contextmanager
def open_feature_file(path: Path, width: int, with_labels: bool,
                      about: dict[str, str]) -> Iterator[FeatureFile]:
    """A file that appears under its name once all is written.

    Args:
        path: Its ending is the format.
        width: Numbers of a feature.
        with_labels: Whether rows have labels.
        about: What else to say of them all.

    Raises:
        InputError: It can't be written, or pyarrow is missing.
    """
    kind = dict(zip(('.npz', '.parquet'), (NpzFile, ParquetFile), strict=True))[path.suffix]
    remove_leftovers(path.parent, path.name)
    with written_whole(path, durable=True) as aside:
        file = kind(aside, width, with_labels, about)
        yield file
        file.close()


class NpzFile:
    """Arrays ``features`` ``(N, C)`` float32, ``paths`` and ``labels`` ``(N,)``, and facts."""

    def __init__(self, path: Path, width: int, with_labels: bool, about: dict[str, str]) -> None:
        self.path, self.about = path, about
        self.features = [np.empty((0, width), dtype=np.float32)]
        self.paths: list[str] = []
        self.labels: list[str] | None = [] if with_labels else None

    def add(self, features: np.ndarray, paths: Sequence[str],
            labels: Sequence[str] | None) -> None:
        """Adds rows."""
        self.features.append(features)
        self.paths += paths
        if self.labels is not None:
            self.labels += labels

    def close(self) -> None:
        """Writes all of them."""
        arrays = dict(features=np.concatenate(self.features), paths=np.array(self.paths, str))
        if self.labels is not None:
            arrays['labels'] = np.array(self.labels, str)
        with self.path.open('wb') as file:
            np.savez(file, **arrays, **self.about)


class ParquetFile:
    """Columns ``path``, ``label`` and ``features``, lists of C floats; facts in the metadata."""

    def __init__(self, path: Path, width: int, with_labels: bool, about: dict[str, str]) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError:
            raise InputError('a .parquet file needs pyarrow: pip install pyarrow (or give a .npz '
                             'file, which needs nothing)') from None
        self.arrow, self.width = pa, width
        columns = [('path', pa.string()), *[('label', pa.string())] * with_labels,
                   ('features', pa.list_(pa.float32(), width))]
        self.writer = parquet.ParquetWriter(path, pa.schema(columns, metadata=about))
        self.rows: list[tuple[np.ndarray, Sequence[str], Sequence[str] | None]] = []

    def add(self, features: np.ndarray, paths: Sequence[str],
            labels: Sequence[str] | None) -> None:
        """Adds rows, and writes a group of them when there are enough."""
        self.rows.append((features, paths, labels))
        if sum(len(paths) for _, paths, _ in self.rows) >= ROWS:
            self._write()

    def close(self) -> None:
        """Writes the rest."""
        self._write()
        self.writer.close()

    def _write(self) -> None:
        if not self.rows:
            return
        features, paths, labels = zip(*self.rows, strict=True)
        columns = [[path for part in paths for path in part]]
        if labels[0] is not None:
            columns.append([label for part in labels for label in part])
        values = self.arrow.array(np.concatenate(features).ravel(), self.arrow.float32())
        columns.append(self.arrow.FixedSizeListArray.from_arrays(values, self.width))
        self.writer.write_table(self.arrow.table(columns, schema=self.writer.schema))
        self.rows = []
