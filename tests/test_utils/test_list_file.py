from pathlib import Path

import pytest

from conmim_mm.errors import InputError
from conmim_mm.utils.list_file import read_list


@pytest.mark.parametrize(('name', 'content', 'expected'), [
    ('a.txt', '\ufeffa b.jpg 3\n\n  c.jpg\t0  \r\nd 7.jpg\n"e".jpg',
     [(1, 'a b.jpg', 3), (3, 'c.jpg', 0), (4, 'd 7.jpg', None), (5, '"e".jpg', None)]),
    ('a.CSV', 'a.jpg\n"b, c.jpg",2\n\nd.jpg,cat\n',
     [(1, 'a.jpg', None), (2, 'b, c.jpg', 2), (4, 'd.jpg', None)]),
    ('a.csv', '\ufeffid, Path ,label\r\n7,a.jpg,3\r\n8,"b\nc.jpg",\r\n9\r\n',
     [(2, 'a.jpg', 3), (4, 'b\nc.jpg', None), (5, '', None)]),
    ('a.csv', 'path,id\na.jpg,3\n', [(2, 'a.jpg', None)]),
    ('a.csv', '\nlabel,path\n3,a.jpg\n', [(3, 'a.jpg', 3)]),
    ('a.txt', b'caf\xe9.jpg 1', [(1, 'caf\udce9.jpg', 1)]),
    ('a.csv', '', [])])
def test_lines(tmp_path: Path, name: str, content, expected: list) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert [tuple(one) for one in read_list(str(tmp_path / name))] == expected


def test_no_table(tmp_path: Path) -> None:
    (tmp_path / 'a.csv').write_text('a' * 200_000)  # a field larger than csv takes
    with pytest.raises(InputError, match='cannot read the list file .*field larger'):
        list(read_list(str(tmp_path / 'a.csv')))


def test_an_open_quote_takes_no_rows(tmp_path: Path) -> None:
    (tmp_path / 'a.csv').write_text('path,label\na.png,"1\nb.png,2\nc.png,2\n')
    with pytest.raises(InputError, match='cannot read the list file'):
        list(read_list(str(tmp_path / 'a.csv')))
