"""Features of a folder in a file: the numbers, and what becomes of images that can't be read."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from conmim_mm.apis import embed, feature_file
from conmim_mm.apis.feature_file import open_feature_file
from conmim_mm.commands import main
from conmim_mm.datasets.labelled_folder import labelled_datasets, labelled_split
from conmim_mm.errors import InputError
from conmim_mm.evaluation import extract_features
from conmim_mm.models.data_preprocessors.conmim_data_preprocessor import ConMIMDataPreprocessor

from ..toy import saved_model
from ..toy_run import IMAGES


def test_embed_npz(toy, labelled, tmp_path, capsys) -> None:
    out = tmp_path / 'new' / 'features.npz'
    options = ['embed', str(toy.out / 'epoch_2.pth'), '--data', str(labelled), '--out', str(out),
               '--batch-size', '3', '--workers', '0']
    main(options)
    assert 'wrote' in capsys.readouterr().out
    content = np.load(out)
    assert content['features'].shape == (30, 24) and content['features'].dtype == np.float32
    assert content['paths'][0] == 'blue/0.png' and len(set(content['paths'])) == 30
    assert list(content['labels']) == ['blue'] * 10 + ['green'] * 10 + ['red'] * 10
    assert content['weights'] == 'teacher'
    assert list(out.parent.iterdir()) == [out]

    teacher = saved_model(toy.out).teacher.backbone
    by_hand = [extract_features(teacher, part, ConMIMDataPreprocessor(), num_workers=0)[0].numpy()
               for part in labelled_datasets(labelled_split(str(labelled)), 32)]
    ours = sorted(content['features'].tolist())
    np.testing.assert_allclose(ours, sorted(np.concatenate(by_hand).tolist()), atol=1e-5)


@pytest.fixture
def photos(toy, tmp_path) -> Path:
    """Four, of which the second cannot be read."""
    photos = Path(shutil.copytree(toy.photos / 'sub', tmp_path / 'photos'))
    for i in range(4, IMAGES):
        (photos / f'{i}.png').unlink()
    (photos / '1.png').write_bytes(b'no image')
    return photos


def test_from_python(toy, photos, tmp_path, capsys) -> None:
    """Nothing is printed; the same features as a config of the whole folder gives."""
    found = embed(str(toy.out), str(photos), str(tmp_path / 'f.npz'), weights='student', workers=0)
    assert found[:4] == (tmp_path / 'f.npz', 3, 24, False)
    (path, reason), = found.unreadable
    assert path == '1.png' and reason.startswith('not an image')
    content = np.load(tmp_path / 'f.npz')
    assert list(content['paths']) == ['0.png', '2.png', '3.png'] and content['weights'] == 'student'
    assert capsys.readouterr() == ('', '')
    with pytest.raises(InputError, match='exists already'):
        embed(toy.out, photos, tmp_path / 'f.npz')


def test_embed_parquet_leaves_out_what_cannot_be_read(toy, photos, tmp_path, capsys) -> None:
    parquet = pytest.importorskip('pyarrow.parquet')
    out = tmp_path / 'features.parquet'
    main(['embed', str(toy.out), '--data', str(photos), '--out', str(out), '--batch-size', '2',
          '--workers', '0'])
    printed = capsys.readouterr().out
    assert '3 images x 24 features' in printed
    assert 'left out 1 that cannot be read:\n  1.png: not an image' in printed
    table = parquet.read_table(out)
    assert table['path'].to_pylist() == ['0.png', '2.png', '3.png']
    assert table.column_names == ['path', 'features']  # nothing says what these show
    assert table.schema.metadata[b'img_size'] == b'32'

    main(['embed', str(toy.out), '--data', str(photos), '--out', str(tmp_path / 'f.npz'),
          '--workers', '0'])
    np.testing.assert_allclose(np.array(table['features'].to_pylist()),
                               np.load(tmp_path / 'f.npz')['features'], atol=1e-6)


def test_row_groups_are_written_as_they_fill(tmp_path, monkeypatch) -> None:
    parquet = pytest.importorskip('pyarrow.parquet')
    monkeypatch.setattr(feature_file, 'ROWS', 4)
    rows = np.arange(14, dtype=np.float32).reshape(7, 2)
    with open_feature_file(tmp_path / 'f.parquet', 2, True, {}) as file:
        for i in range(0, 7, 2):
            part = rows[i:i + 2]
            file.add(part, [f'{i}'] * len(part), ['x'] * len(part))
    read = parquet.ParquetFile(tmp_path / 'f.parquet')
    assert [read.metadata.row_group(i).num_rows for i in range(read.num_row_groups)] == [4, 3]
    assert read.read()['features'].to_pylist() == rows.tolist()


def test_an_interrupted_file_leaves_the_old_one(tmp_path) -> None:
    path = tmp_path / 'f.npz'
    path.write_text('old')
    with pytest.raises(KeyboardInterrupt), open_feature_file(path, 2, False, {}) as file:
        file.add(np.zeros((1, 2), np.float32), ['a'], None)
        raise KeyboardInterrupt
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]
