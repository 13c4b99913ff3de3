from pathlib import Path

import pytest

from conmim_mm.errors import InputError
from conmim_mm.utils.list_file import Listed, read_list


@pytest.mark.parametrize(('name', 'content', 'expected'), [
    ('a.txt', '\ufeffa b.jpg 3\n\n  c.jpg\t0  \r\nd 7.jpg\n"e".jpg',
     [(1, 'a b.jpg', 3), (3, 'c.jpg', 0), (4, 'd 7.jpg', None), (5, '"e".jpg', None)]),
    ('a.CSV', 'a.jpg\n"b, c.jpg",2\n\nd.jpg,cat\n',
     [(1, 'a.jpg', None), (2, 'b, c.jpg', 2), (4, 'd.jpg', None, 'cat')]),
    ('a.csv', '\ufeffid, Path ,label\r\n7,a.jpg,3\r\n8,"b\nc.jpg",\r\n9\r\n',
     [(2, 'a.jpg', 3), (4, 'b\nc.jpg', None), (5, '', None)]),
    ('a.csv', 'path,id\na.jpg,3\n', [(2, 'a.jpg', None)]),
    ('a.csv', '\nlabel,path\n3,a.jpg\n', [(3, 'a.jpg', 3)]),
    ('a.txt', b'caf\xe9.jpg 1', [(1, 'caf\udce9.jpg', 1)]),
    ('a.csv', '', [])])
def test_lines(tmp_path: Path, name: str, content, expected: list) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert [*read_list(str(tmp_path / name))] == [Listed(*one) for one in expected]


@pytest.mark.parametrize(('name', 'content', 'expected'), [
    # the first is a file of that name, and the second is none
    ('a.txt', 's/IM 12\ns/IM 13\ns/IM\n', [('s/IM 12', None), ('s/IM', 13), ('s/IM', None)]),
    ('a.txt', 'a b.png cat\na b.png\tbig cat\na b.png -1\ngone.png cat\ngone.png\tcat',
     [('a b.png', None, 'cat'), ('a b.png', None, 'big cat'), ('a b.png', None, '-1'),
      ('gone.png cat', None), ('gone.png', None, 'cat')]),
    ('a.csv', 'a, b.png\na b.png,1.5\ngone, b.png\n',
     [('a, b.png', None), ('a b.png', None, '1.5'), ('gone', None, 'b.png')]),
    ('a.csv', 'path,label\na, b.png\n', [('a', None, 'b.png')])])
def test_names_of_files_are_no_labels(tmp_path: Path, name: str, content: str, expected: list
                                      ) -> None:
    (tmp_path / name).write_text(content)
    found = read_list(str(tmp_path / name), {'s/IM 12', 's/IM', 'a b.png', 'a, b.png'}.__contains__)
    assert [tuple(one)[1:] for one in found] == [Listed(0, *one)[1:] for one in expected]


def test_no_table(tmp_path: Path) -> None:
    (tmp_path / 'a.csv').write_text('a' * 200_000)  # a field larger than csv takes
    with pytest.raises(InputError, match='cannot read the list file .*field larger'):
        list(read_list(str(tmp_path / 'a.csv')))


def test_an_open_quote_takes_no_rows(tmp_path: Path) -> None:
    (tmp_path / 'a.csv').write_text('path,label\na.png,"1\nb.png,2\nc.png,2\n')
    with pytest.raises(InputError, match='cannot read the list file'):
        list(read_list(str(tmp_path / 'a.csv')))
