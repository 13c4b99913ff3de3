import os
from pathlib import Path

import pytest
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS
from PIL import Image

from conmim_mm.datasets import ImageFiles, LoadRGBImage, image_files
from conmim_mm.datasets.image_formats import file_search, known
from conmim_mm.errors import InputError


def put(root: Path, *names: str) -> None:
    """Images by their path below ``root``; contents do not matter for listing."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def build(root: Path, **kwargs) -> ImageFiles:
    # Serialising collects garbage, which takes longer than all the rest of these tests.
    return ImageFiles(data_root=str(root), **dict(serialize_data=False) | kwargs)


def listed(dataset: ImageFiles, root: Path) -> list[str]:
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [os.path.relpath(info['img_path'], root) for info in infos]


def labels(dataset: ImageFiles) -> list[int | None]:
    return [dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))]


def test_hidden_files_and_link_loops_are_left_out(tmp_path) -> None:
    put(tmp_path, 'a.png', '._a.png', '.thumbnails/b.png', 'sub/c.png')
    (tmp_path / 'sub' / 'again').symlink_to(tmp_path)
    (tmp_path / 'self').symlink_to(tmp_path)
    assert listed(build(tmp_path), tmp_path) == ['a.png', 'sub/c.png']


def message(root: Path, **kwargs) -> str:
    with pytest.raises(InputError) as error:
        build(root, **kwargs)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_finds_images_at_any_depth_in_a_fixed_order(tmp_path: Path) -> None:
    names = ['b/2.png', 'z.jpg', 'b/10.png', 'a/x/y/deep.jpg', 'b/a/1.png', 'a.jpg', 'a/1.webp']
    put(tmp_path, *names)
    # files of a folder by name, then its folders by name, each with all that is below it
    expected = ['a.jpg', 'z.jpg', 'a/1.webp', 'a/x/y/deep.jpg', 'b/10.png', 'b/2.png', 'b/a/1.png']
    assert listed(build(tmp_path), tmp_path) == expected


def test_order_is_not_the_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, 'a/1.png', 'a/2.png', 'b/3.png', 'c/4.png')
    expected = listed(build(tmp_path), tmp_path)
    walk = os.walk

    def reversed_walk(*args, **kwargs):
        for parent, folders, files in walk(*args, **kwargs):
            folders.reverse()
            yield parent, folders, files[::-1]

    monkeypatch.setattr(os, 'walk', reversed_walk)
    assert listed(build(tmp_path), tmp_path) == expected


IMAGES = ['a.jpg', 'b.JPEG', 'c.Png', 'd.webp', 'e.BMP', 'f.tif', 'g.TIFF', 'h.b.jpg', 'i.gif',
          'j.JFIF', 'k.avif', 'l.jp2', 'm.j2k', 'n.pgm', 'o.ppm', 'p.tga', 'q.mpo', 'r.pbm',
          's.pnm']


@pytest.mark.parametrize('names, settings, expected', [
    ([*IMAGES, 'notes.txt', 'a.jpg.txt', 'jpg', 'm.xcf', 'n.npy', 'README'], {}, IMAGES),
    (['a.npy', 'b.NPZ', 'c.txt', 's.tar', 's.tar.index.npz'], {}, ['a.npy', 'b.NPZ']),
    (['a.npy', 'b.jpg'], dict(extensions=('.npy', )), ['a.npy']),
    (['a.jpg', 'b.gif', 'c.GIF'], dict(extensions=('.Gif',)), ['b.gif', 'c.GIF']),
    (['odd.jpg/a.png'], {}, ['odd.jpg/a.png'])],
    ids=['ours', 'arrays', 'arrays asked for', 'own', 'a folder'])
def test_extensions(tmp_path: Path, names: list, settings: dict, expected: list) -> None:
    put(tmp_path, *names)
    assert listed(build(tmp_path, **settings), tmp_path) == expected


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said = []
    for module in (image_files, file_search):
        monkeypatch.setattr(module, 'print_log', lambda text, **_: said.append(text))
    return said


def test_what_is_left_out_is_counted_and_named(
        tmp_path: Path, warnings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, 'a.jpg', *(f'b/{i}.XCF' for i in range(3)), 'b/c.npy', 'd.txt', 'e', '.f.xcf',
        'closed/g.jpg', 'open/h.png')
    scandir = os.scandir

    def deny(path: str):  # root may list any folder
        if path.endswith('closed'):
            raise PermissionError(13, 'Permission denied', path)
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', deny)
    dataset = build(tmp_path)
    assert listed(dataset, tmp_path) == ['a.jpg', 'open/h.png']
    assert dataset.left_out == (
        '3 .xcf, 1 .txt, 1 without an ending, 1 .npy, 1 folder that cannot be listed '
        f'({tmp_path}/closed: Permission denied)')
    assert warnings == [f'left out in {tmp_path}: {dataset.left_out}']


def test_nothing_is_left_out(tmp_path: Path, warnings: list[str]) -> None:
    put(tmp_path, 'a.jpg', '.hidden', '.thumbnails/b.xcf')
    assert build(tmp_path).left_out == '' and not warnings


def test_what_another_library_would_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                 ) -> None:
    monkeypatch.setattr(known, 'is_installed', lambda one: not one.package)
    put(tmp_path, 'a.jpg', 'b.heic', 'c.heic', 'd.dcm', 'e.txt')
    assert build(tmp_path, extensions=('.jpg', )).left_out == (
        '2 .heic (pip install pillow-heif for these), 1 .dcm (pip install pydicom for these), '
        '1 .txt')


def test_of_many_endings_the_most_frequent_are_named(tmp_path: Path) -> None:
    put(tmp_path, 'a.jpg', *(f'{i}{j}.x{i}\n' for i in range(7) for j in range(9 - i)))
    assert build(tmp_path).left_out == (
        '9 .x0\\n, 8 .x1\\n, 7 .x2\\n, 6 .x3\\n, 5 .x4\\n, 42 files in all')
    (tmp_path / 'a.jpg').unlink()
    assert '; left out: 9 .x0' in message(tmp_path)


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    put(tmp_path / 'elsewhere', 'a.jpg', 'deep/b.jpg')
    put(tmp_path / 'root', 'c.jpg')
    (tmp_path / 'root' / 'link').symlink_to(tmp_path / 'elsewhere', target_is_directory=True)
    expected = ['c.jpg', 'link/a.jpg', 'link/deep/b.jpg']
    assert listed(build(tmp_path / 'root'), tmp_path / 'root') == expected


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    put(tmp_path, 'images/a.jpg')
    assert listed(ImageFiles(data_root='~/images'), tmp_path) == ['images/a.jpg']


def test_imagenet_layout_gives_labels_by_alphabet(tmp_path: Path) -> None:
    put(tmp_path, 'train/n02/1.jpg', 'train/n10/1.jpg', 'train/n01/2.jpg', 'train/n01/sub/1.jpg')
    dataset = build(tmp_path, data_prefix='train', with_label=True)
    assert listed(dataset, tmp_path) == ['train/n01/2.jpg', 'train/n01/sub/1.jpg',
                                         'train/n02/1.jpg', 'train/n10/1.jpg']
    assert labels(dataset) == [0, 0, 1, 2]
    assert tuple(dataset.metainfo['classes']) == ('n01', 'n02', 'n10')


def test_given_classes_fix_the_labels(tmp_path: Path) -> None:
    put(tmp_path, 'cat/1.jpg', 'dog/1.jpg')
    dataset = build(tmp_path, with_label=True, metainfo=dict(classes=('dog', 'bird', 'cat')))
    assert labels(dataset) == [2, 0]
    assert 'has no label' in message(tmp_path, with_label=True, metainfo=dict(classes=('dog',)))


def test_classes_of_one_data_set_do_not_leak_into_the_next(tmp_path: Path) -> None:
    put(tmp_path, 'one/a/1.jpg', 'two/b/1.jpg')
    build(tmp_path / 'one', with_label=True)
    other = build(tmp_path / 'two', with_label=True)
    assert tuple(other.metainfo['classes']) == ('b',) and labels(other) == [0]


def test_no_labels_unless_asked_for(tmp_path: Path) -> None:
    put(tmp_path, 'a/1.jpg', '2.jpg')
    dataset = build(tmp_path)
    assert len(dataset) == 2
    assert all('gt_label' not in dataset.get_data_info(i) for i in range(2))


def test_list_file_with_labels_and_spaces(tmp_path: Path) -> None:
    put(tmp_path, 'train/a b 1.jpg', 'train/sub dir/c.jpg', 'train/d.jpg', 'train/e 7')
    (tmp_path / 'list.txt').write_text(
        'sub dir/c.jpg 12\n\n  a b 1.jpg\t0  \r\nd.jpg   3\ne 7 4\n', encoding='utf-8')
    dataset = build(tmp_path, data_prefix='train', ann_file='list.txt', with_label=True)
    assert listed(dataset, tmp_path / 'train') == ['sub dir/c.jpg', 'a b 1.jpg', 'd.jpg', 'e 7']
    assert labels(dataset) == [12, 0, 3, 4]


def test_list_file_without_labels(tmp_path: Path) -> None:
    put(tmp_path, 'a b 1.jpg', 'c.jpg', 'not listed.jpg')
    lists = tmp_path / 'elsewhere'
    lists.mkdir()
    (lists / 'list.txt').write_text('c.jpg\na b 1.jpg', encoding='utf-8')
    dataset = build(tmp_path, ann_file=str(lists / 'list.txt'))
    assert listed(dataset, tmp_path) == ['c.jpg', 'a b 1.jpg']


def test_formats_that_are_asked_for_are_read(tmp_path: Path) -> None:
    for name in ('a.ppm', 'b.pgm', 'c.tga'):
        Image.new('L' if name == 'b.pgm' else 'RGB', (2, 3), 'white').save(tmp_path / name)
    (tmp_path / 'list.txt').write_text('a.ppm\nb.pgm\nc.tga\n')
    for settings in (dict(ann_file='list.txt'), dict(extensions=('.ppm', '.pgm', '.tga'))):
        dataset = build(tmp_path, pipeline=[LoadRGBImage()], **settings)
        assert [sample['img'].min() for sample in dataset] == [255] * 3


def test_list_file_names_beyond_ascii(tmp_path: Path) -> None:
    put(tmp_path, 'größe/猫.jpg')
    (tmp_path / 'list.txt').write_text('größe/猫.jpg 1\n', encoding='utf-8')
    assert listed(build(tmp_path, ann_file='list.txt'), tmp_path) == ['größe/猫.jpg']


def test_indices_select(tmp_path: Path) -> None:
    put(tmp_path, *(f'{i}/{i}.jpg' for i in range(6)))
    dataset = build(tmp_path, indices=[4, 1], with_label=True)
    assert listed(dataset, tmp_path) == ['4/4.jpg', '1/1.jpg'] and labels(dataset) == [4, 1]
    assert listed(build(tmp_path, indices=2), tmp_path) == ['0/0.jpg', '1/1.jpg']


def test_pipeline_reads_the_image_of_the_index(tmp_path: Path) -> None:
    for i in range(3):
        Image.new('RGB', (4 + i, 3), (i, 0, 0)).save(tmp_path / f'{i}.png')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(dict(type='ImageFiles', data_root=str(tmp_path),
                                      pipeline=[dict(type='LoadRGBImage')]))
    assert isinstance(dataset.pipeline.transforms[0], LoadRGBImage)
    for i, sample in enumerate(dataset[j] for j in range(3)):
        assert sample['img_shape'] == (3, 4 + i) and sample['img'][0, 0].tolist() == [i, 0, 0]
        assert sample['sample_idx'] == i


@pytest.mark.parametrize('settings, words', [
    (dict(data_prefix='train'), ['no such folder: {root}/train', 'data_root']),
    (dict(ann_file='none.txt'), ['no such list file: {root}/none.txt']),
    (dict(ann_file='empty.txt'), ['the list file is empty: {root}/empty.txt']),
    (dict(ann_file='blank.txt'), ['the list file is empty: {root}/blank.txt']),
    ({}, ['{root}', '.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff'])])
def test_no_images(tmp_path: Path, settings: dict, words: list[str]) -> None:
    put(tmp_path, 'empty.txt', 'sub/a.xcf')
    (tmp_path / 'blank.txt').write_text('\n \n\t\n')
    text = message(tmp_path, **settings)
    assert all(word.format(root=tmp_path) in text for word in words)


def test_a_listed_file_that_is_missing_names_the_line(tmp_path: Path) -> None:
    put(tmp_path, 'a.jpg')
    (tmp_path / 'list.txt').write_text('a.jpg 0\n\ngone.jpg 1\n', encoding='utf-8')
    text = message(tmp_path, ann_file='list.txt')
    assert f'{tmp_path}/list.txt, line 3' in text and f'{tmp_path}/gone.jpg' in text


def test_a_missing_label_names_the_image(tmp_path: Path) -> None:
    put(tmp_path, 'cat/1.jpg', '2.jpg')
    text = message(tmp_path, with_label=True)
    assert f'{tmp_path}/2.jpg has no label' in text
    (tmp_path / 'list.txt').write_text('cat/1.jpg 1\n2.jpg\n', encoding='utf-8')
    text = message(tmp_path, with_label=True, ann_file='list.txt')
    assert f'{tmp_path}/2.jpg has no label' in text


def test_the_first_images_of_every_class(tmp_path: Path) -> None:
    put(tmp_path, *(f'{name}/{i}.png' for name in 'ab' for i in range(3)))
    dataset = build(tmp_path, with_label=True, images_per_class=2)
    assert listed(dataset, tmp_path) == ['a/0.png', 'a/1.png', 'b/0.png', 'b/1.png']
    assert labels(dataset) == [0, 0, 1, 1]
    assert 'has only 3 images; images_per_class asks for 4' in message(
        tmp_path, with_label=True, images_per_class=4)
    assert 'needs with_label=True' in message(tmp_path, images_per_class=2)


def several(*roots: Path, **kwargs) -> ImageFiles:
    return ImageFiles(data_root=[*map(str, roots)], serialize_data=False, **kwargs)


def test_several_folders_in_the_order_given(tmp_path: Path, warnings: list[str]) -> None:
    put(tmp_path, 'b/z.jpg', 'b/x.raw', 'a/y/1.jpg', 'a/notes.txt', 'c/1.jpg')
    dataset = several(tmp_path / 'b', tmp_path / 'a')
    assert listed(dataset, tmp_path) == ['b/z.jpg', 'a/y/1.jpg']
    assert dataset.left_out == f'1 .raw in {tmp_path}/b; 1 .txt in {tmp_path}/a'
    assert dataset.repeated == '' and len(warnings) == 2
    assert dataset.folders == [f'{tmp_path}/b', f'{tmp_path}/a']
    with pytest.raises(InputError, match=f'no images in {tmp_path}/b'):
        several(tmp_path / 'a', tmp_path / 'b', extensions=('.txt', '.heif'))


def test_labels_in_several_folders(tmp_path: Path) -> None:
    put(tmp_path, 'one/train/cat/1.jpg', 'two/train/dog/x/1.jpg', 'two/train/ant/1.jpg')
    dataset = several(tmp_path / 'one', tmp_path / 'two', data_prefix='train', with_label=True)
    assert tuple(dataset.metainfo['classes']) == ('ant', 'cat', 'dog')
    assert labels(dataset) == [1, 0, 2]
    put(tmp_path, 'two/train/1.jpg')
    with pytest.raises(InputError, match=f'in a class folder below {tmp_path}/two/train'):
        several(tmp_path / 'one', tmp_path / 'two', data_prefix='train', with_label=True)


def test_a_file_that_several_folders_lead_to_is_taken_once(tmp_path: Path,
                                                           warnings: list[str]) -> None:
    put(tmp_path, 'a/1.jpg', 'a/sub/2.jpg', 'b/3.jpg')
    (tmp_path / 'b' / 'link.jpg').symlink_to(tmp_path / 'a' / '1.jpg')
    (tmp_path / 'c').symlink_to(tmp_path / 'a')
    dataset = several(*(tmp_path / name for name in ('a/sub', 'a', 'b', 'c')))
    assert listed(dataset, tmp_path) == ['a/sub/2.jpg', 'a/1.jpg', 'b/3.jpg']
    # 2 again in a, 1 by the link, and both in c
    assert dataset.repeated == (
        f'4, taken once, such as {tmp_path}/a/sub/2.jpg')
    assert warnings == [f'found again: {dataset.repeated}']


def test_a_list_with_repetitions(tmp_path: Path) -> None:
    put(tmp_path, 'a.jpg', 'b.jpg')
    (tmp_path / 'link.jpg').symlink_to('a.jpg')
    (tmp_path / 'list.csv').write_text(f'label,path\n1,a.jpg\n0,link.jpg\n2,b.jpg\n1,./a.jpg\n'
                                       f'2,{tmp_path}/b.jpg\n')
    dataset = build(tmp_path, ann_file='list.csv')
    assert listed(dataset, tmp_path) == ['a.jpg', 'b.jpg']
    assert dataset.repeated == f'3, taken once, such as {tmp_path}/a.jpg and {tmp_path}/link.jpg'
    assert labels(build(tmp_path, ann_file='list.csv', with_label=True)) == [1, 0, 2, 1, 2]


def test_labels_that_are_no_whole_numbers(tmp_path: Path, warnings: list[str]) -> None:
    put(tmp_path, 'a.jpg', 'b.jpg', 'IM 12')
    (tmp_path / 'list.txt').write_text('a.jpg -1\nIM 12\nb.jpg\tbig cat\n')
    dataset = build(tmp_path, ann_file='list.txt')
    assert listed(dataset, tmp_path) == ['a.jpg', 'IM 12', 'b.jpg']
    assert dataset.left_out == "labels that are no whole numbers: 2, the first '-1' in line 1"
    assert warnings == [f'left out in {tmp_path}/list.txt: {dataset.left_out}']
    assert 'must end with a whole number' in message(tmp_path, ann_file='list.txt', with_label=True)


@pytest.mark.parametrize(('content', 'words'), [
    ('file,label\na.jpg,1\n', "list.csv, line 1: no such image: {root}/file (a line with the "
     "names of columns must have 'path' in it, and commas)"),
    ('path\na.jpg\n\ngone.jpg\n', 'list.csv, line 4: no such image: {root}/gone.jpg'),
    ('path,label\n,1\n', 'list.csv, line 2: no such image: {root}/'),
    (os.fsdecode('ä.jpg'.encode('latin-1')), '.jpg (the list is not in UTF-8: save it so)'),
    (os.fsdecode('a.jpg'.encode('utf-16')), ' (the list is not in UTF-8: save it so)'),
    ('ä.jpg', 'line 1: no such image: {root}/ä.jpg (a line with'),
    ('a\0.jpg\n', 'list.csv')])
def test_bad_lines_of_a_table(tmp_path: Path, content: str, words: str) -> None:
    put(tmp_path, 'a.jpg')
    (tmp_path / 'list.csv').write_bytes(os.fsencode(content))
    assert words.format(root=tmp_path) in message(tmp_path, ann_file='list.csv')


def test_a_list_goes_with_one_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='relative to one data_root, but there are 2'):
        several(tmp_path, tmp_path, ann_file='list.txt')
