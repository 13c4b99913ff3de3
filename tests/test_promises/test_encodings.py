"""Names that are no UTF-8, and systems that are not: every text file says its encoding."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from feature_map import draw_feature_map

from conmim_mm.apis.feature_file import open_feature_file

from ..conftest import ROOT
from ..runs import environment
from ..toy import write_config, write_noise_images

LATIN = os.fsdecode(b'gr\xf6\xdfe')  # as Windows and old disks have it
NO_TEXT_FILES = {'Image', 'os', 'tarfile', 'archive'}  # whose ``open`` is another


def calls_without_encoding(tree: ast.AST) -> Iterator[int]:
    """Lines that open, read or write a text file in whatever encoding the locale has."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        match call.func:
            case ast.Name(id='open'):
                owner = ''
            case ast.Attribute(attr='open' | 'read_text' | 'write_text', value=value):
                owner = getattr(value, 'id', '')
            case _:
                continue
        modes = [word.value for word in call.args if isinstance(word, ast.Constant)
                 and isinstance(word.value, str) and len(word.value) <= 3]
        words = {word.arg for word in call.keywords}
        if owner not in NO_TEXT_FILES and 'encoding' not in words and not any(
                'b' in mode for mode in modes):
            yield call.lineno


def test_every_text_file_is_opened_with_its_encoding() -> None:
    sources = [path for folder in ('conmim_mm', 'tools', 'configs')
               for path in (ROOT / folder).rglob('*.py') if '.mim' not in path.parts]
    found = [f'{path.relative_to(ROOT)}:{line}' for path in sources
             for line in calls_without_encoding(ast.parse(path.read_text(encoding='utf-8')))]
    assert found == []


@pytest.mark.parametrize('code, count', [
    ('open(x)', 1), ("open(x, 'w')", 1), ('x.open()', 1), ('x.read_text()', 1),
    ('x.write_text(y)', 1),
    ("open(x, 'rb')", 0), ("open(x, encoding='utf-8')", 0), ('Image.open(x)', 0),
    ('write_text(x, y)', 0)])
def test_the_check_itself(code: str, count: int) -> None:
    assert len([*calls_without_encoding(ast.parse(code))]) == count


@pytest.mark.parametrize('ending', ['npz', 'parquet'])
def test_names_of_any_bytes_in_feature_files(tmp_path, ending: str) -> None:
    path = tmp_path / f'{LATIN}.{ending}'
    with open_feature_file(path, 2, True, dict(data=LATIN)) as file:
        file.add(np.zeros((2, 2), np.float32), [f'{LATIN}/a.jpg', 'ö.jpg'], [LATIN, 'ö'])
    if ending == 'parquet':
        table = pytest.importorskip('pyarrow.parquet').read_table(path.open('rb'))
        assert table['path'].to_pylist() == [r'gr\udcf6\udcdfe/a.jpg', 'ö.jpg']
        assert table.schema.metadata[b'data'] == rb'gr\udcf6\udcdfe'
    else:
        assert np.load(path)['paths'].tolist() == [f'{LATIN}/a.jpg', 'ö.jpg']


def test_class_names_of_any_kind_on_a_map() -> None:
    names = [LATIN, '猫', '5 $ and $_', '_hidden', '\n']
    assert draw_feature_map(np.eye(5, 2), 'x', range(5), names).shape[2] == 3


@pytest.mark.slow
@pytest.mark.parametrize('name', [LATIN, 'größe'])
def test_a_run_without_utf8(tmp_path, name: str) -> None:
    data = tmp_path / name / name
    data.mkdir(parents=True)
    write_noise_images(data, count=4, side=40)
    (data / '0.png').rename(data / f'{name}.png')
    config = write_config(tmp_path, tmp_path)
    ascii_only = dict(LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0', PYTHONIOENCODING='ascii')
    done = subprocess.run(
        [sys.executable, '-m', 'conmim_mm', 'pretrain', '--config', config, '--data', data,
         '--out', tmp_path / f'run-{name}', '--epochs', '1', '--batch-size', '2'],
        capture_output=True, encoding='ascii', timeout=300, env=environment(ROOT) | ascii_only)
    assert done.returncode == 0 and 'Traceback' not in done.stdout + done.stderr
    assert 'finished: ' in done.stdout
    run = tmp_path / f'run-{name}'
    log = next(run.glob('*/*.log')).read_text(encoding='utf-8')
    assert 'Epoch(train)' in log and (run / 'report.html').is_file()
