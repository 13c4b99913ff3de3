"""Images from tar shards, whole, damaged and vanishing."""

import copy
import logging
import os
import pickle
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS

from conmim_mm.datasets import ImageFiles, LoadRGBImage, SampleIndex, TarShards
from conmim_mm.datasets.image_formats.file_search import EXTENSIONS
from conmim_mm.datasets.shards import tar_shards
from conmim_mm.datasets.shards.tar_shards import OPEN_SHARDS, ShardReader, expand_shards
from conmim_mm.errors import InputError, UnreadableImageError

from ...shards import shard_tree, write_shard
from ...toy import write_noise_images


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Ten images: 0.png to 9.png."""
    (tmp_path / 'tree').mkdir()
    return write_noise_images(tmp_path / 'tree', count=10, side=12)


@pytest.fixture
def shards(tree: Path) -> Path:
    """The same in 0.tar to 2.tar, of four images, four and two."""
    return shard_tree(tree, tree.parent / 'shards', per_shard=4)


def build(folder: Path, shards: str | list = '*.tar', **kwargs) -> TarShards:
    return TarShards(shards=shards, data_root=str(folder), **kwargs)


def listed(dataset: TarShards) -> list[str]:
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [os.path.relpath(info['img_path'], dataset.data_root) for info in infos]


def pixels(dataset: TarShards | ImageFiles) -> list[bytes]:
    return [dataset[i]['img'].tobytes() for i in range(len(dataset))]


def message(*args, **kwargs) -> str:
    with pytest.raises(InputError) as error:
        build(*args, **kwargs)
    assert '\n' not in str(error.value)
    return str(error.value)


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the data set warns of."""
    found = []
    monkeypatch.setattr(tar_shards, 'print_log', lambda text, logger, level=logging.INFO:
                        found.append(text))
    return found


def test_the_images_are_those_of_the_tree(tree: Path, shards: Path) -> None:
    dataset = build(shards, pipeline=[LoadRGBImage()])
    assert listed(dataset) == [f'{i // 4}.tar/{i}.png' for i in range(10)]
    assert pixels(dataset) == pixels(ImageFiles(data_root=str(tree), pipeline=[LoadRGBImage()]))
    assert [dataset[i]['sample_idx'] for i in range(10)] == list(range(10))
    assert dataset.get_data_info(-1)['sample_idx'] == 9
    assert dataset.shard_numbers().tolist() == [0] * 4 + [1] * 4 + [2] * 2


def test_it_is_a_component(shards: Path) -> None:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(dict(
            type='TarShards', data_root=str(shards.parent), data_prefix='shards',
            shards='{0..2}.tar', pipeline=[dict(type='LoadRGBImage')]))
    assert len(dataset) == 10 and dataset[3]['img_shape'] == (12, 12)


def test_indices_select(tree: Path, shards: Path) -> None:
    dataset = build(shards, indices=[8, 1, 5], pipeline=[LoadRGBImage()])
    assert listed(dataset) == ['2.tar/8.png', '0.tar/1.png', '1.tar/5.png']
    assert dataset.shard_numbers().tolist() == [2, 0, 1]
    whole = build(shards)
    assert listed(whole.get_subset(2)) == ['0.tar/0.png', '0.tar/1.png']
    whole.get_subset_([9])
    assert listed(whole) == ['2.tar/9.png']


def test_nothing_is_looked_at_before_it_is_needed(shards: Path) -> None:
    dataset = build(shards, 'nowhere.tar', lazy_init=True)
    with pytest.raises(InputError, match='no such shard'):
        len(dataset)


@pytest.mark.parametrize('patterns, names', [
    (['{08..11}.tar'], ['08.tar', '09.tar', '10.tar', '11.tar']),
    (['{8..9}.tar'], ['8.tar', '9.tar']),
    (['{1..2}-{0..1}.tar'], ['1-0.tar', '1-1.tar', '2-0.tar', '2-1.tar']),
    (['b*.tar', '{8..9}.tar', 'b2.tar'], ['b1.tar', 'b2.tar', '8.tar', '9.tar', 'b2.tar']),
    (['[odd]?.tar'], ['[odd]?.tar']), (['[89].tar'], ['8.tar', '9.tar'])])
def test_ranges_and_wildcards(tmp_path: Path, patterns: list[str], names: list[str]) -> None:
    for name in ('08', '09', '10', '11', '8', '9', '1-0', '1-1', '2-0', '2-1', 'b1', 'b2',
                 '[odd]?'):
        (tmp_path / f'{name}.tar').touch()
    (tmp_path / 'b3.tar').mkdir()
    assert expand_shards(patterns, str(tmp_path)) == [str(tmp_path / name) for name in names]
    absolute = [str(tmp_path / pattern) for pattern in patterns]
    assert expand_shards(absolute, 'elsewhere') == [str(tmp_path / name) for name in names]


def test_a_shard_that_is_named_again_is_taken_once(shards: Path, warnings: list[str]) -> None:
    (shards / 'link.tar').symlink_to('1.tar')
    dataset = build(shards, ['1.tar', '{0..2}.tar', f'{shards}/../shards/2.tar', 'link.tar'])
    assert listed(dataset) == [f'{i // 4}.tar/{i}.png' for i in (4, 5, 6, 7, 0, 1, 2, 3, 8, 9)]
    assert dataset.repeated == f'3, taken once, such as {shards}/1.tar'
    assert build(shards, '{0..2}.tar').repeated == ''


@pytest.mark.parametrize('pattern, folder', [
    ('/d/x-{0..9}.tar', '/d'), ('/d/*/e/x.tar', '/d'), ('/d/{0..9}/x.tar', '/d'),
    ('x/*.tar', '/root')])
def test_folders_that_shards_lie_below(pattern: str, folder: str) -> None:
    assert TarShards([pattern], data_prefix='/root', lazy_init=True).folders == [folder]


@pytest.mark.parametrize('patterns, missing', [
    (['0.tar', '{0..3}.tar'], '3.tar'), (['x*.tar'], 'x*.tar'), (['{2..1}.tar'], '{2..1}.tar')])
def test_no_such_shard(shards: Path, patterns: list[str], missing: str) -> None:
    assert f'no such shard: {shards}/{missing} ' in message(shards, patterns)
    assert '--shards' in message(shards, 'x.tar')
    assert f'{shards}/. (that is a folder: give' in message(shards, '.')
    assert 'at least one shard' in message(shards, [])


def test_labels(tmp_path: Path) -> None:
    write_shard(tmp_path / 'a.tar', {'0.jpg': b'', '0.cls': b'5', '1.jpg': b'', '1.cls': b'2'})
    dataset = build(tmp_path, with_label=True)
    assert [dataset.get_data_info(i)['gt_label'] for i in (0, 1)] == [5, 2]
    assert 'gt_label' not in build(tmp_path).get_data_info(0)
    write_shard(tmp_path / 'b.tar', {'x/0.jpg': b'', 'x/0.txt': b'1'})
    assert f'{tmp_path}/b.tar/x/0.jpg has no label' in message(tmp_path, with_label=True)


def test_openmmlabs_loader_is_refused(shards: Path) -> None:
    assert 'LoadImageFromFile cannot read from tar shards' in message(
        shards, pipeline=[LoadImageFromFile()])


def test_a_shard_that_was_cut_off(shards: Path, warnings: list[str]) -> None:
    path = shards / '1.tar'
    path.write_bytes(path.read_bytes()[:1600])
    for _ in range(2):  # the second time from the file that keeps the index
        dataset = build(shards, pipeline=[LoadRGBImage()])
        assert listed(dataset) == [*(f'0.tar/{i}.png' for i in range(4)), '1.tar/4.png',
                                   '2.tar/8.png', '2.tar/9.png']
        assert all(len(image) == 12 * 12 * 3 for image in pixels(dataset))
        assert warnings == [
            f"the shard {path} is cut off or damaged (it ends within '5.png'): the first 1 images "
            'are used, and what comes behind them is lost; copy or make it again']
        warnings.clear()


def test_others_are_told(shards: Path, warnings: list[str]) -> None:
    assert build(shards).left_out == ''
    write_shard(shards / '9.tar', {'a.jpg': b'x', 'a.json': b'x', 'b.xcf': b'x'})
    write_shard(shards / '8.tar', {'c.jpg': b'x', 'c.cls': b'1', 'c.json': b'x'})
    assert build(shards).left_out == '2 .json, 1 .xcf'
    assert warnings == ['left out in the shards: 2 .json, 1 .xcf']


def test_shards_without_images(shards: Path) -> None:
    write_shard(shards / 'none.tar', {'a.txt': b'x'})
    assert message(shards) == (
        f'no images in the shard {shards}/none.tar: looked for {" ".join(EXTENSIONS)}')
    write_shard(shards / 'none.tar', {'a.jpg': b'x' * 2000})
    (shards / 'none.tar').write_bytes((shards / 'none.tar').read_bytes()[:1000])
    assert "none.tar (it ends within 'a.jpg'): looked for" in message(shards)
    (shards / 'none.tar').write_text('no tar')
    assert 'none.tar is no tar file' in message(shards)


def test_where_no_index_can_be_kept(shards: Path, warnings: list[str], monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(np, 'savez', full)
    assert len(build(shards)) == 10
    assert len(warnings) == 1 and f'the indexes of 3 shards, such as {shards}/0.tar' in warnings[0]


def test_processes_begin_to_index_at_different_shards(shards: Path, monkeypatch) -> None:
    expected, looked_at = listed(build(shards)), []
    real = tar_shards.cached_index
    monkeypatch.setattr(tar_shards, 'get_dist_info', lambda: (1, 2))
    monkeypatch.setattr(tar_shards, 'cached_index', lambda path, extensions: (
        looked_at.append(Path(path).name), real(path, extensions))[1])
    assert listed(build(shards)) == expected
    assert looked_at == ['1.tar', '2.tar', '0.tar']


def skipped(dataset: TarShards, index: int) -> list[tuple[str, str]]:
    return dataset[SampleIndex(index)]['skipped']


def test_a_bad_image_is_replaced(tree: Path) -> None:
    (tree / '3.png').write_text('no image')
    shards = shard_tree(tree, tree.parent / 'bad', per_shard=4)
    dataset = build(shards, pipeline=[LoadRGBImage()])
    assert skipped(dataset, 3)[0] == (f'{shards}/0.tar/3.png', 'not an image')
    assert skipped(dataset, 4) == []
    with pytest.raises(UnreadableImageError) as error:
        dataset[3]
    assert str(error.value) == f'cannot read the image {shards}/0.tar/3.png: not an image'


def test_a_shard_that_vanishes_or_shrinks(shards: Path) -> None:
    dataset = build(shards, pipeline=[LoadRGBImage()])
    (shards / '0.tar').unlink()
    os.truncate(shards / '1.tar', 700)
    assert skipped(dataset, 1)[0] == (f'{shards}/0.tar/1.png', 'no such file')
    assert skipped(dataset, 4)[0] == (f'{shards}/1.tar/4.png', 'its shard has become shorter')
    assert skipped(dataset, 8) == []
    sample = dataset[SampleIndex(1)]
    assert Path(sample['img_path']).parent == shards / '2.tar'


def test_a_shard_replaced_while_it_is_open(shards: Path) -> None:
    dataset = build(shards, pipeline=[LoadRGBImage()])
    expected = pixels(dataset)
    write_shard(shards / 'new', {'x.png': b'another'})
    (shards / 'new').replace(shards / '0.tar')
    assert pixels(dataset) == expected  # the old one, as long as it is open


def read_all(dataset: TarShards, results) -> None:
    results.put(pixels(dataset))


def test_forked_processes_read_too(shards: Path) -> None:
    dataset = build(shards, pipeline=[LoadRGBImage()])
    expected = pixels(dataset)  # the files are open here
    context = get_context('fork')
    results = context.SimpleQueue()
    processes = [context.Process(target=read_all, args=(dataset, results)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [results.get() for _ in processes] == [expected] * 2
    for process in processes:
        process.join()
    assert pixels(dataset) == expected


@pytest.mark.parametrize('copied', [
    copy.deepcopy, lambda dataset: pickle.loads(pickle.dumps(dataset))])
def test_copies_open_their_own_files(shards: Path, copied) -> None:
    dataset = build(shards, pipeline=[LoadRGBImage()])
    expected = pixels(dataset)
    other = copied(dataset)
    del dataset
    assert pixels(other) == expected and other.reader._open.cache_info().misses == 3


def open_files(folder: Path) -> int:
    """How many files of a folder this process has open."""
    names = [f'/proc/self/fd/{number}' for number in os.listdir('/proc/self/fd')]
    return sum(os.path.realpath(name).startswith(f'{folder.resolve()}/') for name in names)


@pytest.mark.skipif(not os.path.isdir('/proc/self/fd'), reason='counts open files as Linux does')
def test_not_too_many_files_stay_open(tmp_path: Path) -> None:
    paths = [tmp_path / str(i) for i in range(OPEN_SHARDS + 20)]
    for i, path in enumerate(paths):
        path.write_text(f'{i:05d}')
    reader = ShardReader()
    for _ in range(2):
        assert [int(reader.read(str(path), 0, 5)) for path in paths] == list(range(len(paths)))
    assert open_files(tmp_path) == OPEN_SHARDS
    del reader
    assert open_files(tmp_path) == 0


def test_reads_go_on_where_the_system_gives_less(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / 'file').write_bytes(bytes(range(100)))
    real = os.pread
    monkeypatch.setattr(os, 'pread', lambda file, size, offset: real(file, min(size, 7), offset))
    assert ShardReader().read(str(tmp_path / 'file'), 10, 50) == bytes(range(10, 60))
    assert ShardReader().read(str(tmp_path / 'file'), 10, 0) == b''
