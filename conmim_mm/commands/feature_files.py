"""Writers of features: .parquet as they come, .npz at the end; the file is whole or not there."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import InputError
from ..utils.work_dir import put_in_place

ROWS = 8192  # of a parquet row group


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
    aside = path.with_name(f'.{path.name}.partial')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = kind(aside, width, with_labels, about)
        yield file
        file.close()
        put_in_place(aside, path)
    except OSError as error:
        raise InputError(f'cannot write {path}: {error.strerror or error}') from error
    finally:
        with suppress(OSError):  # else it would hide the error above
            aside.unlink(missing_ok=True)


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
