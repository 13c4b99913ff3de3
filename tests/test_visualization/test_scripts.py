"""tools/visualization, as typed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from common import check_picture_file
from PIL import Image

from conmim_mm.apis import embed
from conmim_mm.visualization.sheet import save_picture

from ..conftest import CONFIGS


@pytest.fixture
def picture(tmp_path) -> Path:
    return tmp_path / 'new' / 'picture.png'


@pytest.fixture
def call(run_script, picture):
    """Calls a script; gives back the picture, if it writes one."""

    def call_script(name: str, *args: object, out: Path = picture) -> Image.Image | None:
        run_script(f'visualization/{name}.py', *args, '--out', out)
        return None if out.is_dir() else Image.open(out)

    return call_script


@pytest.fixture
def refused(refused, picture):
    return lambda name, *args, out=picture: refused(
        f'visualization/{name}.py', *args, '--out', out)


def test_attention(call, checkpoint, images, capsys) -> None:
    rows = call('attention', checkpoint, images / 'cat' / '0.png', '--head', 1)
    more = call('attention', checkpoint, images / 'cat' / '0.png', '--head', 1, '--block', 0,
                '--weights', 'student', '--patch', 0, 31, '--patch', 9, 9, '--overwrite')
    assert more.width == rows.width and more.height > 2 * rows.height
    assert 'the image is 32 pixels wide and 32 high' in capsys.readouterr().out


def test_explain(call, checkpoint, images, capsys, tmp_path) -> None:
    paths = [images / 'cat' / f'{number}.png' for number in range(2)]
    out, other = tmp_path / 'out', tmp_path / 'other'
    call('explain', checkpoint, *paths, out=out)
    assert sorted(path.name for path in out.iterdir()) == [
        'attention.png', 'filled_holes.png', 'patch_similarity.png', 'token_pca.png']
    assert capsys.readouterr().out.count('of 16 holes') == 2
    call('explain', checkpoint, *paths, '--seed', 2, out=other)
    first, second = (np.asarray(Image.open(folder / 'filled_holes.png'))
                     for folder in (out, other))
    assert first.shape == second.shape and (first != second).any()


def test_feature_map(call, checkpoint, images, capsys, tmp_path) -> None:
    features = tmp_path / 'features.npz'
    embed(checkpoint, images, features, workers=0)
    call('feature_map', features, '--thumbnails', 2)
    assert '12 images, 2 classes' in capsys.readouterr().out
    embed(checkpoint, images / 'dog', features, workers=0, overwrite=True)
    call('feature_map', features, '--images', 5, '--overwrite')
    assert '5 images, no class folders' in capsys.readouterr().out


def test_browse_dataset(call, images, capsys) -> None:
    config = CONFIGS / 'conmim' / 'vit-tiny_1xb8_images-224px.py'
    call('browse_dataset', config, '--data-root', images, '--images', 2)
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_wrong_arguments_get_one_line(refused, checkpoint, images, tmp_path) -> None:
    image, classifier = images / 'dog' / '1.png', tmp_path / 'classifier.pth'
    torch.save(dict(state_dict={'backbone.norm.weight': torch.zeros(2)}), classifier)
    (tmp_path / 'text.png').write_text('no image')
    scenes = CONFIGS / 'classification' / 'vit-tiny_1xb32_scenes-64px.py'
    for words, args in (
            ('no such checkpoint', ('attention', tmp_path / 'none.pth', image)),
            ('is no checkpoint', ('explain', image, image)),
            ('no pre-training checkpoint', ('explain', classifier, image)),
            ('none.png', ('explain', checkpoint, tmp_path / 'none.png')),
            ('text.png', ('explain', checkpoint, tmp_path / 'text.png')),
            ('no such config', ('explain', checkpoint, image, '--config', tmp_path / 'c.py')),
            ('no config of a ConMIM model', ('explain', checkpoint, image, '--config', scenes)),
            ('x=32 y=0 lies outside', ('attention', checkpoint, image, '--patch', 32, 0)),
            ('block has 2, but there are 2 blocks', ('attention', checkpoint, image, '--block', 2)),
            ('heads 0 to 1', ('attention', checkpoint, image, '--head', 7)),
            ('holds no features', ('feature_map', tmp_path / 'none.npz')),
            ('holds no features', ('feature_map', image)),
            ('--images must be at least 5', ('feature_map', 'f.npz', '--images', 2)),
            ('not a pre-training config', ('browse_dataset', scenes)),
            ('--images must be at least 1', ('browse_dataset', scenes, '--images', 0)),
            ('no such folder', ('browse_dataset', CONFIGS / 'conmim' / 'vit-b_8xb256.py'))):
        assert words in refused(*args)
    assert 'is a folder' in refused('attention', checkpoint, image, out=tmp_path)


@pytest.mark.parametrize('name', ['x.xyz', 'x', 'read.psd', 'two.xbm', 'stub.h5'])
def test_what_no_picture_can_be_written_as_is_refused_first(refused, tmp_path, name) -> None:
    assert 'ends with .png' in refused('attention', 'none.pth', 'none.png', out=tmp_path / name)


@pytest.mark.parametrize('tool', ['attention', 'feature_map', 'browse_dataset'])
def test_where_no_file_can_be_is_refused_first(refused, tmp_path, tool) -> None:
    (tmp_path / 'file').touch()
    args = ['none.pth', 'none'] if tool == 'attention' else ['none']
    for out, reason in ((tmp_path / 'file' / 'o.png', 'Not a directory'),
                        (tmp_path / 'file' / 'a' / 'o.png', 'Not a directory'),
                        (Path('/proc/o.png'), 'No such file or directory')):
        assert refused(tool, *args, out=out) == f'error: cannot write {out}: {reason}'


def test_the_check_leaves_nothing(tmp_path) -> None:
    check_picture_file(tmp_path / 'new' / 'o.png')
    assert not list(tmp_path.iterdir())
    (tmp_path / 'o.png').write_bytes(b'old')
    check_picture_file(tmp_path / 'o.png', overwrite=True)
    assert (tmp_path / 'o.png').read_bytes() == b'old'


@pytest.mark.parametrize('ending', ['png', 'PNG', 'jpg', 'webp', 'pdf', 'tif', 'gif', 'bmp'])
def test_usual_formats_are_written(tmp_path, ending) -> None:
    path = tmp_path / f'o.{ending}'
    check_picture_file(path)
    save_picture(np.zeros((4, 6, 3), np.uint8), path)
    assert ending == 'pdf' or Image.open(path).size == (6, 4)


def test_a_window_needs_a_display(refused, checkpoint, images, monkeypatch) -> None:
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    assert 'needs a display' in refused(
        'attention', checkpoint, images / 'dog' / '1.png', '--head', 0, '--interactive')
