"""Where the images of a tar file lie, and the files that keep it."""

import io
import os
import pickle
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from conmim_mm.datasets.shards import index as shard_index
from conmim_mm.datasets.shards.index import (
    NO_LABEL,
    ShardIndex,
    cached_index,
    index_shard,
    join_indexes,
)
from conmim_mm.errors import InputError
from conmim_mm.utils import files

from ...shards import write_shard

FILES = {'a.jpg': b'one', 'sub/b.PNG': b'2' * 1000, 'notes.txt': b'text', 'c.webp': b''}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


def contents(path: Path, index: ShardIndex) -> dict[str, bytes]:
    data = path.read_bytes()
    places = zip(index.offsets, index.sizes, strict=True)
    return {index.name(row): data[offset:offset + size]
            for row, (offset, size) in enumerate(places)}


def equal(first: ShardIndex, second: ShardIndex) -> bool:
    return (first.damage, first.others) == (second.damage, second.others) and all(
        np.array_equal(getattr(first, key), getattr(second, key))
        for key in ('names', 'name_ends', 'offsets', 'sizes', 'labels'))


@pytest.mark.parametrize('format', [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_offsets_and_sizes(tmp_path: Path, format: int) -> None:
    path = write_shard(tmp_path / 's.tar', FILES, format=format)
    index = index_shard(str(path))
    # a block of header, then the content in whole blocks
    assert index.offsets.tolist() == [512, 1536, 512 * 8]
    assert index.sizes.tolist() == [3, 1000, 0]
    assert contents(path, index) == {key: FILES[key] for key in ('a.jpg', 'sub/b.PNG', 'c.webp')}
    assert index.damage == ''


@pytest.mark.parametrize('format', [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_long_and_of_any_bytes(tmp_path: Path, format: int) -> None:
    names = ['größe/猫.jpg', f'{"x" * 200}/{"y" * 200}.png', os.fsdecode(b'\xff\n.bmp')]
    path = write_shard(tmp_path / 's.tar', {name: name[:3].encode('utf-8', 'replace')
                                            for name in names}, format=format, encoding='utf-8')
    assert list(contents(path, index_shard(str(path)))) == names


def test_what_is_left_out(tmp_path: Path) -> None:
    names = ['./a.jpg', '/b.jpg', '._a.jpg', '.hidden/c.jpg', 'x/.y/d.jpg', 'e.JPG.txt', 'f.xcf']
    path = write_shard(tmp_path / 's.tar', dict.fromkeys(names, b'x'))
    index = index_shard(str(path))
    assert list(contents(path, index)) == ['a.jpg', 'b.jpg']
    assert index.others == {'.txt': 1, '.xcf': 1}
    assert list(contents(path, index_shard(str(path), ('.xcf',)))) == ['f.xcf']


@pytest.mark.parametrize('images, found', [([], ['a.npy', 'b.NPZ']), (['i.jpg'], ['i.jpg'])])
def test_arrays_where_there_are_no_other_images(tmp_path: Path, images: list[str],
                                                found: list[str]) -> None:
    names = ['a.npy', 'b.NPZ', 'a.cls', 'c.json', '.d.npy', *images]
    path = write_shard(tmp_path / 's.tar', dict.fromkeys(names, b'7'))
    index, _ = cached_index(str(path))
    assert list(contents(path, index)) == found
    assert index.labels[0] == (NO_LABEL if images else 7)
    assert index.others == {'.json': 1} | ({'.npy': 1, '.npz': 1} if images else {})


def test_links(tmp_path: Path) -> None:
    path = tmp_path / 's.tar'
    with tarfile.open(path, 'w') as tar:
        for name, kind, target in [('a.jpg', tarfile.REGTYPE, ''), ('b.jpg', tarfile.LNKTYPE, ''),
                                   ('c.jpg', tarfile.SYMTYPE, 'a.jpg'),
                                   ('d.jpg', tarfile.LNKTYPE, 'a.jpg'),
                                   ('e.jpg', tarfile.DIRTYPE, '')]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, 4 * (name == 'a.jpg')
            tar.addfile(info, io.BytesIO(b'data'))
    # a hard link is the same file once more; tar stores files with two names so
    assert contents(path, index_shard(str(path))) == {'a.jpg': b'data', 'd.jpg': b'data'}


def test_labels_of_webdataset(tmp_path: Path) -> None:
    files = {'0.jpg': b'', '0.cls': b'7', 'x/1.cls': b' 12\n', 'x/1.jpg': b'',
             'x/2.left.jpg': b'', 'x/2.cls': b'3', '3.v.jpg': b'', '3.v.cls': b'4',
             '3.w.jpg': b'', '3.w.cls': b'5', '4.jpg': b'', '5.jpg': b'', '5.cls': b'cat',
             '6.jpg': b'', '6.cls': b'-1', '7.jpg': b'', '7.cls': b'9' * 31}
    path = write_shard(tmp_path / 's.tar', files)
    assert index_shard(str(path)).labels.tolist() == [7, 12, 3, 4, 5] + [NO_LABEL] * 4


def test_several_in_one(tmp_path: Path) -> None:
    paths = [write_shard(tmp_path / f'{i}.tar', {f'{i}{"x" * i}{j}.jpg': b'' for j in range(i)})
             for i in (2, 0, 3)]
    index = join_indexes([index_shard(str(path)) for path in paths])
    assert [index.name(row) for row in range(len(index))] == [
        '2xx0.jpg', '2xx1.jpg', '3xxx0.jpg', '3xxx1.jpg', '3xxx2.jpg']
    assert index.offsets.tolist() == [512, 1024, 512, 1024, 1536]


@pytest.mark.parametrize('blocks, more, left, damage', [
    (12, 512, 'abcd', ''),  # one block of zeros is enough
    (12, 100, 'abcd', 'its end is missing'),
    (12, 0, 'abcd', 'its end is missing'),
    (10, 700, 'abcd', 'its end is missing'),
    (10, 699, 'abc', "it ends within 'd.jpg'"),
    (10, 0, 'abc', "it ends within 'd.jpg'"),
    (9, 20, 'abc', 'its end is missing'),
    (9, 0, 'abc', 'its end is missing')])
def test_a_shard_that_was_cut_off(tmp_path: Path, blocks: int, more: int, left: str,
                                  damage: str) -> None:
    # three blocks each, of which the first is the header
    path = write_shard(tmp_path / 's.tar', {f'{name}.jpg': name.encode() * 700 for name in 'abcd'})
    path.write_bytes(path.read_bytes()[:512 * blocks + more])
    index = index_shard(str(path))
    assert contents(path, index) == {f'{name}.jpg': name.encode() * 700 for name in left}
    assert index.damage == damage


def test_a_damaged_header(tmp_path: Path) -> None:
    path = write_shard(tmp_path / 's.tar', {f'{name}.jpg': b'x' for name in 'abcd'})
    data = bytearray(path.read_bytes())
    data[512 * 4 + 150] ^= 255  # of the third file
    path.write_bytes(data)
    index = index_shard(str(path))
    assert list(contents(path, index)) == ['a.jpg', 'b.jpg']
    assert index.damage == 'a header is damaged'


def test_hundreds_of_damaged_shards(tmp_path: Path) -> None:
    """None raises anything but an InputError, takes long, or leads outside the file."""
    whole = write_shard(tmp_path / 's.tar', FILES | {'ü' * 120 + '.jpg': b'x', 'z.cls': b'1'},
                        format=tarfile.PAX_FORMAT).read_bytes()[:512 * 16]
    gnu = write_shard(tmp_path / 's.tar', FILES | {'u' * 120 + '.jpg': b'x'},
                      format=tarfile.GNU_FORMAT).read_bytes()[:512 * 14]
    rng = np.random.default_rng(0)
    outcomes = set()
    for number in range(800):
        data = bytearray((whole, gnu)[number % 2])
        block = 512 * rng.integers(len(data) // 512)
        for _ in range(rng.integers(1, 4)):
            # of the fields of a header: name, mode, size, check sum, type
            data[block + rng.choice([0, 100, 124, 124, 130, 148, 156, 156, 257])] = rng.choice(
                [0, 32, 48, 49, 50, 75, 76, 83, 103, 120, 128, 255])
        if number % 3:  # with a check sum that fits, so that more than that is looked at
            data[block + 148:block + 156] = b' ' * 8
            data[block + 148:block + 156] = b'%06o\0 ' % sum(data[block:block + 512])
        path = tmp_path / 'd.tar'
        path.write_bytes(data)
        try:
            index = index_shard(str(path))
        except InputError as error:
            assert '\n' not in str(error)
            outcomes.add('refused')
            continue
        assert (index.offsets + index.sizes <= len(data)).all() and '\n' not in index.damage
        outcomes.add(index.damage)
    assert {'refused', 'a header is damaged', ''} <= outcomes and len(outcomes) > 5


def header(kind: bytes, size: int, name: str = 'x', content: bytes = b'') -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def repeated(kind: bytes, content: bytes, count: int) -> bytes:
    return header(kind, len(content), content=content) * count


LONG = b'2 a' + b'a' * 400_000 + b'='  # which tarfile looks through from every second byte on
BOMBS = {
    'pax after pax': (repeated(b'x', b'14 path=z.jpg\n', 5000), True),
    'long name after long name': (repeated(b'L', b'z.jpg', 5000), True),
    'long link after long name': (
        repeated(b'L', b'z.jpg', 2000) + repeated(b'K', b'b', 2000), True),
    'pax of a terabyte': (header(b'x', 2**40), False),
    'name of a terabyte': (header(b'L', 2**40), False),
    'negative': (header(b'x', -512), False),
    'pax without an end': (repeated(b'x', LONG, 1), False),
    'pax of digits': (repeated(b'x', b'1' * 400_000, 1), False),
    'record of no length': (repeated(b'x', b'0 path=a\n', 1), False),
    'size of no number': (repeated(b'x', b'10 size=x\n', 1) + header(b'0', 0), False),
    'size of many digits': (
        repeated(b'x', b'5011 size=' + b'9' * 5000 + b'\n', 1) + header(b'0', 0), False),
    'negative size': (repeated(b'x', b'11 size=-9\n', 1) + header(b'0', 0), False),
    'many global fields': (repeated(b'g', b''.join(
        b'12 a%05d=x\n' % i for i in range(50_000)), 1) + header(b'5', 0) * 2000, True),
    'unknown of an exabyte': (header(b'Z', 2**62) + header(b'Z', 2**80), False),
    'sparse map without an end': (
        header(b'S', 0)[:482] + b'\1' + header(b'S', 0)[483:] + (bytes(504) + b'\1' * 8) * 2000,
        False)}


@pytest.mark.parametrize('name', BOMBS)
def test_crafted_headers(name: str, tmp_path: Path) -> None:
    """In the time and memory of a whole file; what comes before them is there."""
    bomb, is_passed = BOMBS[name]
    path = tmp_path / 's.tar'
    path.write_bytes(header(b'0', 1, 'a.jpg', b'x') + bomb + header(b'0', 1, 'b.jpg', b'y')
                     + bytes(1024))
    with path.open('ab') as file:
        file.truncate(2**33)
    start = time.process_time()
    index = index_shard(str(path))
    assert time.process_time() - start < 5
    found = [index.name(row) for row in range(len(index))]
    assert found[0] == 'a.jpg' and '\n' not in index.damage
    assert bool(index.damage) != is_passed and (len(found) == 2 or not is_passed)


@pytest.mark.parametrize('content, words', [
    (b'', 'is no tar file'), (b'no tar' * 100, 'is no tar file'),
    (b'\x1f\x8b' + bytes(600), 'is compressed (gzip)'), (b'BZh9', 'is compressed (bzip2)'),
    (b'\xfd7zXZ\0', 'is compressed (xz)'), (b'\x28\xb5\x2f\xfd', 'is compressed (zstd)')])
def test_files_that_are_no_shards(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / 's.tar'
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        index_shard(str(path))
    assert f'{path} {words}' in str(error.value) and '\n' not in str(error.value)


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError('the headers are read again')

    monkeypatch.setattr(shard_index, 'index_shard', refuse)


def test_the_headers_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_shard(tmp_path / 's.tar', FILES | {'a.cls': b'3'})
    path.write_bytes(path.read_bytes()[:-9000])
    made, kept = cached_index(str(path))
    assert kept and made.damage and sorted(os.listdir(tmp_path)) == ['s.tar', 's.tar.index.npz']
    forbid(monkeypatch)
    again, kept = cached_index(str(path))
    assert kept and equal(made, again) and equal(made, index_shard(str(path)))


def touch(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def grow(path: Path) -> None:
    facts = path.stat()
    write_shard(path, FILES | {'new.jpg': b'x' * 20_000})
    os.utime(path, ns=(0, facts.st_mtime_ns))


@pytest.mark.parametrize('change', [touch, grow])
def test_another_shard_of_the_same_name(tmp_path: Path, change) -> None:
    path = write_shard(tmp_path / 's.tar', FILES)
    cached_index(str(path))
    change(path)
    before = (tmp_path / 's.tar.index.npz').read_bytes()
    assert equal(cached_index(str(path))[0], index_shard(str(path)))
    assert (tmp_path / 's.tar.index.npz').read_bytes() != before


def test_other_extensions_are_another_index(tmp_path: Path) -> None:
    path = write_shard(tmp_path / 's.tar', FILES)
    assert len(cached_index(str(path))[0]) == 3 and len(cached_index(str(path), ('.txt',))[0]) == 1


def test_an_index_that_is_damaged_or_wrong(tmp_path: Path, cache: Path) -> None:
    path = write_shard(tmp_path / 's.tar', FILES)
    good, _ = cached_index(str(path))
    kept = tmp_path / 's.tar.index.npz'
    content = kept.read_bytes()
    with np.load(kept) as file:
        arrays = dict(file)
    bad = [b'', b'text', content[:-200], content.replace(b'sub/b', b'sub/c'),
           pickle.dumps(print), b'\x93NUMPY']
    for name, values in dict(
            offsets=[512, 1536, 10**6], sizes=[3, 1000, -1], name_ends=[5, 3, 20],
            labels=[0, 0]).items():
        file = io.BytesIO()
        np.savez(file, **arrays | {name: np.array(values)})
        bad.append(file.getvalue())
    file = io.BytesIO()
    np.savez(file, **arrays | dict(offsets=np.array([{}, {}, {}])))
    bad.append(file.getvalue())
    for content in bad:
        kept.write_bytes(content)
        assert equal(cached_index(str(path))[0], good)
        assert kept.read_bytes() != content  # made anew
    assert not cache.exists()


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, cache: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_shard(tmp_path / 's.tar', FILES)
    (tmp_path / 'other').mkdir()
    other = write_shard(tmp_path / 'other' / 's.tar', {'a.png': b'x'})
    real = os.open

    def deny(file: object, flags: int, *mode: int) -> int:  # root may write anywhere
        if flags & os.O_CREAT and not str(file).startswith(str(cache)):
            raise PermissionError(13, 'Permission denied')
        return real(file, flags, *mode)

    monkeypatch.setattr(files.os, 'open', deny)
    first, second = cached_index(str(path)), cached_index(str(other))
    assert first[1] and second[1] and (len(first[0]), len(second[0])) == (3, 1)
    assert len(list((cache / 'conmim_mm' / 'shards').iterdir())) == 2
    assert not list(tmp_path.rglob('*.tmp')) and not list(tmp_path.glob('*.npz'))
    forbid(monkeypatch)
    assert equal(cached_index(str(path))[0], first[0])


def test_where_nothing_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_shard(tmp_path / 's.tar', FILES)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(np, 'savez', full)
    index, kept = cached_index(str(path))
    assert not kept and len(index) == 3 and not list(tmp_path.rglob('*.[nt][pm]*'))


def test_several_make_it_at_the_same_time(tmp_path: Path) -> None:
    path = write_shard(tmp_path / 's.tar', {f'{i}.jpg': b'x' for i in range(50)})
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(cached_index, [str(path)] * 40))
    assert all(kept and equal(index, made[0][0]) for index, kept in made)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ['s.tar', 's.tar.index.npz']
