"""tools/dataset_converters/make_shards.py, as typed and as called."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import make_shards as tool
import pytest
from make_shards import ShardImage, images_to_shard, write_shards

from conmim_mm.datasets import ImageFiles, LoadRGBImage, TarShards
from conmim_mm.datasets.shards.index import cached_index
from conmim_mm.errors import InputError

from ..toy import write_noise_images


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ('cat', 'dog'):
        (tmp_path / 'tree' / name).mkdir(parents=True)
        write_noise_images(tmp_path / 'tree' / name, count=4, side=8)
    return tmp_path / 'tree'


def test_shards_of_a_tree(tree: Path, tmp_path: Path, run_script, capsys) -> None:
    run_script(tool, tree, tmp_path / 'out', '--images-per-shard', 3, '--workers', 1)
    assert capsys.readouterr().out == (
        f'{tmp_path}/out: 8 images of 2 classes, images-000000.tar to images-000002.tar\n')
    options = dict(with_label=True, pipeline=[LoadRGBImage()])
    expected = {sample['img_path'].removeprefix(f'{tree}/'): (sample['gt_label'],
                                                              sample['img'].tobytes())
                for sample in ImageFiles(data_root=str(tree), **options)}
    found = {sample['img_path'].split('.tar/')[1]: (sample['gt_label'], sample['img'].tobytes())
             for sample in TarShards(
                 shards='images-{000000..000002}.tar', data_root=str(tmp_path / 'out'), **options)}
    assert found == expected and len(found) == 8


@pytest.mark.parametrize('args, words', [
    (['tree', 'tree'], 'is there already'), (['nowhere', 'out'], 'no such folder'),
    (['tree', 'out', '--list', 'none.txt'], 'no such list file')])
def test_one_line_for_bad_input(tree: Path, tmp_path: Path, monkeypatch, refused, args: list[str],
                                words: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in refused(tool, *args)
    assert not (tmp_path / 'out').exists()


def put(root: Path, *names: str) -> Path:
    """Files that hold their own name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def members(shard: Path) -> dict[str, bytes]:
    with tarfile.open(shard) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


def numbered(root: Path, count: int) -> list[ShardImage]:
    return images_to_shard(str(put(root, *(f'{i}.jpg' for i in range(count)))))[0]


def message(function: Callable, *args, **kwargs) -> str:
    with pytest.raises(InputError) as error:
        function(*args, **kwargs)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_bytes_names_and_labels(tmp_path: Path) -> None:
    root = put(tmp_path / 'tree', 'cat/a.b.jpg', 'cat/deep/größe.png', 'dog/c.JPEG', 'dog/d.jpg')
    images, classes = images_to_shard(str(root))
    assert classes == ('cat', 'dog')
    shards = write_shards(images, tmp_path / 'out', images_per_shard=4, classes=classes)
    assert [shard.name for shard in shards] == ['images-000000.tar']
    assert members(shards[0]) == {
        'cat/a.b.jpg': b'cat/a.b.jpg', 'cat/a.b.cls': b'0', 'dog/d.jpg': b'dog/d.jpg',
        'cat/deep/größe.png': 'cat/deep/größe.png'.encode(), 'cat/deep/größe.cls': b'0',
        'dog/d.cls': b'1', 'dog/c.JPEG': b'dog/c.JPEG', 'dog/c.cls': b'1'}
    dataset = TarShards(shards='*.tar', data_root=str(tmp_path / 'out'), with_label=True,
                        metainfo=dict(classes=str(tmp_path / 'out' / 'classes.txt')))
    assert dataset.metainfo['classes'] == ['cat', 'dog']


def test_folders_that_are_no_classes(tmp_path: Path) -> None:
    images, classes = images_to_shard(str(put(tmp_path, 'a/1.jpg', 'b/2.jpg', '3.jpg')))
    assert classes == () and {image.label for image in images} == {None}
    assert [image.name for image in images] == ['3.jpg', 'a/1.jpg', 'b/2.jpg']


def test_a_list_with_labels(tmp_path: Path) -> None:
    put(tmp_path, 'tree/a/1.jpg', 'tree/a/2.jpg', 'tree/b/3.jpg', 'other/4.jpg')
    (tmp_path / 'list.txt').write_text(f'a/2.jpg 7\nb/3.jpg\n{tmp_path}/other/4.jpg 5\n')
    images, classes = images_to_shard(str(tmp_path / 'tree'), str(tmp_path / 'list.txt'))
    assert classes == ()
    assert [(image.name, image.label) for image in images] == [
        ('a/2.jpg', 7), ('b/3.jpg', None), (f'{tmp_path}/other/4.jpg'.lstrip('/'), 5)]


def test_arrays_alone(tmp_path: Path) -> None:
    put(tmp_path, 'a/1.npy', 'a/2.npz', 'b/3.jpg')
    images, _ = images_to_shard(str(tmp_path / 'a'))
    assert [image.name for image in images] == ['1.npy', '2.npz']
    (tmp_path / 'list.txt').write_text('a/1.npy\nb/3.jpg\n')
    with pytest.raises(InputError, match='would not find .*1.npy'):
        images_to_shard(str(tmp_path), str(tmp_path / 'list.txt'))


@pytest.mark.parametrize('lines, words', [
    (['a.jpg 1', 'a.png 2'], 'a.jpg and {tmp_path}/a.png would share the file of their label, but '
     'have 1 and 2'),
    (['.b.jpg'], 'TarShards would not find {tmp_path}/.b.jpg'),
    (['.c/d.jpg'], 'TarShards would not find {tmp_path}/.c/d.jpg'),
    (['e.xcf'], 'TarShards would not find {tmp_path}/e.xcf')])
def test_lists_that_shards_cannot_hold(tmp_path: Path, lines: list[str], words: str) -> None:
    put(tmp_path, 'a.jpg', 'a.png', '.b.jpg', '.c/d.jpg', 'e.xcf')
    (tmp_path / 'list.txt').write_text('\n'.join(lines))
    text = message(images_to_shard, str(tmp_path), str(tmp_path / 'list.txt'))
    assert words.format(tmp_path=tmp_path) in text


def test_shards_of_equal_size_in_random_order(tmp_path: Path) -> None:
    images = numbered(tmp_path / 'tree', 23)
    shards = write_shards(images, tmp_path / 'out', images_per_shard=5)
    contents = [list(members(shard)) for shard in shards]
    assert [len(names) for names in contents] == [5, 5, 5, 4, 4]
    names = [name for shard in contents for name in shard]
    assert sorted(names) == sorted(image.name for image in images)
    assert names != [image.name for image in images]
    write_shards(images, tmp_path / 'seed', images_per_shard=5, seed=1)
    assert list(members(tmp_path / 'seed' / 'images-000000.tar')) != contents[0]


def test_the_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    images = numbered(tmp_path / 'tree', 9)
    counts = []
    first = write_shards(images, tmp_path / 'a', images_per_shard=4, done=counts.append)
    os.utime(images[0].path, (5, 5))
    second = write_shards(images, tmp_path / 'b', images_per_shard=4, workers=2)
    assert counts == [3, 3, 3]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_indexes_are_there(tmp_path: Path, monkeypatch) -> None:
    shards = write_shards(numbered(tmp_path / 'tree', 3), tmp_path / 'out', images_per_shard=2)
    assert sorted(entry.name for entry in (tmp_path / 'out').iterdir()) == [
        'images-000000.tar', 'images-000000.tar.index.npz', 'images-000001.tar',
        'images-000001.tar.index.npz']

    def refuse(*_: object) -> None:
        raise AssertionError('the headers are read again')

    monkeypatch.setattr('conmim_mm.datasets.shards.index.index_shard', refuse)
    assert [len(cached_index(str(shard))[0]) for shard in shards] == [2, 1]


def test_nothing_is_written_over(tmp_path: Path) -> None:
    images = numbered(tmp_path / 'tree', 3)
    put(tmp_path / 'out', 'mine.txt')
    assert f'{tmp_path}/out is there already' in message(write_shards, images, tmp_path / 'out', 2)
    assert [entry.name for entry in (tmp_path / 'out').iterdir()] == ['mine.txt']
    (tmp_path / 'file').touch()
    assert f'{tmp_path}/file is there already' in message(
        write_shards, images, tmp_path / 'file', 2)
    (tmp_path / 'empty').mkdir()
    assert len(write_shards(images, tmp_path / 'empty', 2)) == 2


@pytest.mark.parametrize('workers', [1, 2])
def test_a_run_that_fails_leaves_nothing(tmp_path: Path, workers: int) -> None:
    images = numbered(tmp_path / 'tree', 6)
    Path(images[4].path).unlink()
    text = message(write_shards, images, tmp_path / 'out', 2, workers=workers)
    assert text.startswith(f'cannot read the image {images[4].path}: No such file')
    assert [entry.name for entry in tmp_path.iterdir()] == ['tree']


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    put(tmp_path / '.out.x1.tmp' / 'out', 'images-000009.tar')
    write_shards(numbered(tmp_path / 'tree', 2), tmp_path / 'out', 2)
    assert sorted(path.name for path in (tmp_path / 'out').glob('*.tar')) == ['images-000000.tar']
    assert sorted(path.name for path in tmp_path.iterdir()) == ['out', 'tree']


@pytest.mark.parametrize('setting', ['images_per_shard', 'workers'])
def test_bad_settings(tmp_path: Path, setting: str) -> None:
    settings = dict(images_per_shard=2, workers=1) | {setting: 0}
    text = message(write_shards, [], tmp_path / 'out', **settings)
    assert text == f'{setting} must be at least 1, but is 0'
